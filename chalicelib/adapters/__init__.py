"""The outside world, behind our verbs and our errors."""
