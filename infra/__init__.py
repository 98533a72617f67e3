"""Operator command line, and the AWS resources of a stage."""


class OperatorError(Exception):
    """An error that the operator can fix; the message explains how."""
