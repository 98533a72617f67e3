"""The code deployed to Lambda: routes, use cases, adapters and the Reservation state machine."""

__version__ = "0.1.0"
