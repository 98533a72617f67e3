"""The health check."""

from chalice.app import Blueprint

from chalicelib import __version__
from chalicelib.routes.http import route

blueprint = Blueprint(__name__)


@route(blueprint, "/health", methods=["GET"], action=None)
def health() -> dict[str, str]:
    """Return the service version without touching any dependency."""
    return {"status": "ok", "version": __version__}
