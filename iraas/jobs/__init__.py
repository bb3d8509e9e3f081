"""Jobs and their outcomes in the stores."""
