"""The fleet on EC2."""
