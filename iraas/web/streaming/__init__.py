"""Long answers, and calls from other threads onto the event loop."""
