"""The client side: find images, send them, follow them to their outcomes, and retry."""
