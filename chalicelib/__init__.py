"""What ships to Lambda: the callback path, the reservation state machine and the sweep."""

__version__ = "0.1.0"
