"""What the operator's command line reports in one sentence, instead of a traceback."""


class OperatorError(Exception):
    """Something the operator can put right; the message says what."""
