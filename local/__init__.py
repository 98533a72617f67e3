"""Runs the whole system on one machine: the local stack and its demo."""
