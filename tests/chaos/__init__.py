"""Proves, on the real stack and under faults, that nothing is lost and nothing happens twice.

`python -m tests.chaos run`; docs/chaos.md says what it does and how to read what it prints.
"""
