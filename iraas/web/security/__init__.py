"""Who may use the web tier."""
