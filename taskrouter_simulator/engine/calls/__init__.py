"""Phone calls, as far as they affect TaskRouter; audio is not simulated."""
