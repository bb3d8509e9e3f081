"""The commands, a module each. Each is loaded only when its command runs."""
