"""Receiving images over HTTP into jobs."""
