"""A deployment's resources on AWS: made, shown and removed as a whole, found by name and tag."""
