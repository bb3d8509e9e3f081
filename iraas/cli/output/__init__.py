"""What the command line prints and saves."""
