"""What our promises about speed are measured by: `python -m benchmarks`."""
