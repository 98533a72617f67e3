"""Benchmarks that compare the app with simple reference programs: `python -m benchmarks`."""
