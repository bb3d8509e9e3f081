"""What a requester does: find images, send them, follow them to their outcomes, and retry."""
