"""HTTP itself: connections, framing, bodies."""
