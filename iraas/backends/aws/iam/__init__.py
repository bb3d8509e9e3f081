"""IAM policies as data, and the check of the caller's own permissions."""
