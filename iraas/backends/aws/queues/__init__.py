"""The queue ports on SQS."""
