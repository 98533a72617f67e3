from tests.routes.conftest import api, environ  # noqa: F401  # fixtures
