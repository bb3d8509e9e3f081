"""The object store and the controller's lease on S3."""
