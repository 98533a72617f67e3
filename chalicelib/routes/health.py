"""Whether the service is alive, for load balancers and people."""

from chalice.app import Blueprint

from chalicelib import __version__
from chalicelib.routes.http import route

blueprint = Blueprint(__name__)


@route(blueprint, "/health", methods=["GET"], action=None)
def health() -> dict[str, str]:
    """Answer the version, and touch nothing else."""
    return {"status": "ok", "version": __version__}
