"""The aws backend: SQS, S3 and EC2. boto3 is imported here only, and not before it is needed."""
