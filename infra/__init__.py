"""The operator commands, and the code that manages a stage in AWS and in Twilio."""


class OperatorError(Exception):
    """An error that the operator can fix; the message explains how."""


def format_duration(seconds: float) -> str:
    """Return a duration in days, hours, minutes or, below two minutes, seconds."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
