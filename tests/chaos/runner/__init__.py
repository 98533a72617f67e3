"""Runs the real stack under faults and compares every record with TaskRouter."""
