"""Phone calls, as far as they affect TaskRouter; there is no audio."""
