"""Phone calls, limited to their effects on TaskRouter; audio is not simulated."""
