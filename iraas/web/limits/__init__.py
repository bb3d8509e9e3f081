"""What clients may use of the web tier at once."""
