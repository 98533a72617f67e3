"""What only `make chaos` runs is marked so."""

import pytest

from tests.usecases.conftest import store

__all__ = ["store"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: a proof by great numbers; `make chaos` runs it")
