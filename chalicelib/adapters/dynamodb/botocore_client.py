"""botocore's DynamoDB client, with a time limit.

Handling an assignment callback does not import this module, because botocore's clients are slow
to import.
"""

from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.session import Session

from chalicelib.adapters.aws import InvalidResponse, Request, Sender, parse

_MAX_BYTES = 2**25
"""Maximum size of a response. BatchGetItem returns at most 16 MB of items."""


def make_botocore_client(seconds: float, *, attempts: int) -> Any:
    """Return botocore's DynamoDB client, which makes up to *attempts* requests per call.

    Each request is sent through a `Sender` with a time limit of *seconds*.
    """
    retries = {"mode": "legacy", "total_max_attempts": attempts}
    client = Session().create_client("dynamodb", config=Config(retries=retries))
    sender = Sender(client.meta.endpoint_url)

    def send(request: Any, event_name: str, **_event: Any) -> AWSResponse:
        headers = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        response = sender.send(
            lambda: Request(request.url, headers, request.body),
            seconds=seconds,
            max_bytes=_MAX_BYTES,
        )
        # botocore reads a body that is not JSON as `{}`, and omits fields that are null. In both
        # cases, the item would seem to be missing.
        if response.is_success and None in parse(response, event_name).values():
            raise InvalidResponse
        return AWSResponse(request.url, response.status, response.headers, response)

    client.meta.events.register("before-send.dynamodb", send)
    return client
