"""The app of tests/routes, watched."""

from tests.routes.conftest import api, environ

__all__ = ["api", "environ"]
