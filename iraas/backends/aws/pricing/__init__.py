"""What instances and a deployment cost."""
