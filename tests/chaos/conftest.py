"""Imports the `store` fixture from the tests of the use cases."""

from tests.usecases.conftest import store

__all__ = ["store"]
