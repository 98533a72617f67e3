"""Phone calls: what a caller does, as far as TaskRouter has to do with it. No audio."""
