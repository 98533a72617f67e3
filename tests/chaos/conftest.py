"""What only `make chaos` runs is marked so."""

from tests.usecases.conftest import store

__all__ = ["store"]
