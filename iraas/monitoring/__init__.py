"""What a deployment, its jobs and its workers are doing, for those who watch."""
