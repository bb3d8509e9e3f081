"""Authentication and the checks on every request."""
