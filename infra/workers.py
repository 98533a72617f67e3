"""Workers by name, as people know them."""

import requests
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from chalicelib.config import Settings
from chalicelib.domain.sids import is_sid
from infra.errors import OperatorError
from infra.keys import ApiKey

TIMEOUT_SECONDS = 10


def find_sid(settings: Settings, key: ApiKey, worker: str) -> str:
    """The SID of a Worker.

    Args:
        settings: Which TaskRouter, and which of its Workspaces.
        key: What TaskRouter is asked with.
        worker: A Worker SID, which is returned as it is, or a FriendlyName (unique in its
            Workspace), which TaskRouter is asked about.

    Raises:
        OperatorError: No Worker has the name, or TaskRouter did not say.
    """
    if is_sid(worker, "WK"):
        return worker
    for sid, name in _named(settings, key, worker):
        if name == worker:
            return sid
    raise OperatorError(f"The Workspace has no Worker named {worker!r}.")


def _named(settings: Settings, key: ApiKey, name: str) -> list[tuple[str, str]]:
    client = Client(
        key.sid,
        key.secret,
        settings.twilio_account_sid,
        http_client=TwilioHttpClient(timeout=TIMEOUT_SECONDS),
    )
    client.taskrouter.base_url = settings.twilio_taskrouter_url
    workers = client.taskrouter.v1.workspaces(settings.twilio_workspace_sid).workers
    try:
        return [(w.sid or "", w.friendly_name or "") for w in workers.list(friendly_name=name)]
    except TwilioException as error:
        raise OperatorError(f"TaskRouter did not name the Workers: {error}") from error
    except requests.RequestException as error:
        raise OperatorError(
            f"TaskRouter at {settings.twilio_taskrouter_url} could not be asked for the Worker "
            f"{name!r} ({type(error).__name__}). Is it running? A Worker's SID needs no asking."
        ) from error
