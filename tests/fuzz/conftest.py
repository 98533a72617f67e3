"""Fixtures imported from tests/routes."""

from tests.routes.conftest import api, environ, tutorial

__all__ = ["api", "environ", "tutorial"]
