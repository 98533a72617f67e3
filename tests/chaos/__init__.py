"""Fault-injection tests: no Reservation is lost or decided twice.

`python -m tests.chaos run` tests the real stack; see docs/chaos.md.
"""
