"""The code deployed to Lambda with `app.py`: routes, use cases, adapters, domain."""

__version__ = "0.1.0"
