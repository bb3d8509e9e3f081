"""Jobs and their outcomes as they lie in the stores."""
