"""What only `make chaos` runs is marked so."""

import pytest

from tests.usecases.conftest import store

__all__ = ["store"]

