"""The operator commands of `python -m infra`."""
