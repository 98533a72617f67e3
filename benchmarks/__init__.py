"""Benchmarks that compare the app with simpler programs: `python -m benchmarks`."""
