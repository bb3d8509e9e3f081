"""HTTP itself: connections, bodies, errors."""
