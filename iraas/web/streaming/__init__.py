"""Event streams and paced responses."""
