"""The app of tests/routes, watched."""

from tests.routes.conftest import api, environ

__all__ = ["api", "environ"]


def pytest_configure(config):
    config.addinivalue_line("markers", "chaos: a proof by great numbers; `make chaos` runs it")
