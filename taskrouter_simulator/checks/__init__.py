"""Finds mistakes in the definition of a Workspace; no Twilio account is needed.

`definition` collects all findings, `workers` compares expressions with the attributes of the
declared Workers, and `reachability` finds filters and targets that no Task reaches.
"""
