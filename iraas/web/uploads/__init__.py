"""Images that arrive over HTTP, on their way into a job."""
