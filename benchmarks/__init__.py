"""Benchmarks that check the documented performance limits: `python -m benchmarks`."""
