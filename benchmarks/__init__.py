"""Benchmarks of the documented performance limits: `python -m benchmarks`."""
