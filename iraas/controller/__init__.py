"""The controller: decides how many workers there are, and accounts for dead letters."""
