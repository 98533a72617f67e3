"""Fixtures imported from tests/routes."""

from tests.routes.conftest import api, environ

__all__ = ["api", "environ"]
