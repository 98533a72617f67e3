"""Shares the store fixture with the use cases' tests."""

from tests.usecases.conftest import store

__all__ = ["store"]
