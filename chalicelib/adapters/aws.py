"""Requests to AWS APIs without botocore's clients, and with a time limit for the whole request.

Building one of botocore's clients takes most of a cold start, and building a request with it takes
most of a callback. `JsonApi` only signs a request with botocore and sends it with urllib3
(docs/adr/0028). Its errors are botocore's, so that callers handle all clients alike.

An `Exchange` limits the time for each request, including the lookup of the host name.
"""

import json
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, IncompleteRead

from chalicelib.adapters.exchange import POOLS, Exchange
from chalicelib.config import in_lambda

RETRY_PAUSE_SECONDS = 0.05
"""Pause before the only retry, as in botocore's legacy retry mode."""

_MAX_BYTES = 2**20
"""Maximum size of a response to `JsonApi`. A DynamoDB item has at most 400 KB."""

_MAX_CONNECTIONS = 50

_MIN_SECONDS = 0.001
"""Minimum time limit of a request, because urllib3 refuses others."""

_TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504, 509})
_TRANSIENT_CODES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestThrottledException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
"""The HTTP statuses and error codes that botocore's legacy retry mode retries for DynamoDB."""

_DNS_SUFFIXES = {
    "amazonaws.com": re.compile(r"(?!cn-|eusc-)[a-z]{2}(-gov)?-[a-z]+-\d+"),
    "amazonaws.com.cn": re.compile(r"cn-[a-z]+-\d+"),
}
"""Regions by the end of their endpoints' names. botocore knows the other partitions."""

_OTHER_ENDPOINTS = (
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""Variables that select other endpoints."""


class InvalidResponse(BotoCoreError):  # type: ignore[misc]  # botocore has no types
    """The response is too large, is not a JSON object, or lacks a value."""

    fmt = "The response is not a JSON object of acceptable size."


class Request(NamedTuple):
    """An HTTP POST request."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the operation succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def stream(self) -> list[bytes]:
        """Return the body as the list of chunks that botocore's clients read."""
        return [self.body]


class _Credentials(NamedTuple):
    """Credentials with the attributes that botocore's signer reads."""

    access_key: str
    secret_key: str
    token: str | None


class JsonApi:
    """An AWS service whose requests and responses are JSON.

    Args:
        service: the service's name in endpoints, such as ``dynamodb``.
        target: the prefix of operations in the header ``X-Amz-Target``.
        version: the version of the AWS JSON protocol.
        seconds: time limit for a call, including retries.
        attempts: maximum number of requests per call.
    """

    def __init__(
        self, service: str, *, target: str, version: str, seconds: float, attempts: int
    ) -> None:
        self._service = service
        self._target = target
        self._content_type = f"application/x-amz-json-{version}"
        self._seconds = seconds
        self._attempts = attempts
        endpoint, self._region = _find_endpoint(service)
        self._url = endpoint.rstrip("/") + "/"
        self._sender = Sender(self._url)
        self._session_credentials: Any = None

    def call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation; return its response.

        Raises:
            ClientError: the service returned an error.
            BotoCoreError: there are no credentials, or there was no usable response in time.
        """
        deadline = time.monotonic() + self._seconds
        body = json.dumps(parameters).encode()
        for remaining in reversed(range(self._attempts)):
            # On a busy machine, the first attempt may use up the time of the second one.
            seconds = max((deadline - time.monotonic()) / (remaining + 1), _MIN_SECONDS)
            try:
                response = self._sender.send(
                    lambda: self._sign(operation, body), seconds=seconds, max_bytes=_MAX_BYTES
                )
                return parse(response, operation)
            except (ClientError, EndpointConnectionError, ReadTimeoutError, ChecksumError) as error:
                if not remaining or not _is_transient(error):
                    raise
            time.sleep(RETRY_PAUSE_SECONDS)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _sign(self, operation: str, body: bytes) -> Request:
        headers = {
            "Content-Type": self._content_type,
            "X-Amz-Target": f"{self._target}.{operation}",
            "User-Agent": "taskrouter-callbacks",
        }
        request = AWSRequest("POST", self._url, headers, body)
        SigV4Auth(self._credentials(), self._service, self._region).add_auth(request)
        return Request(self._url, dict(request.headers.items()), body)

    def _credentials(self) -> Any:
        """Return the credentials of the environment, as on Lambda, or those found by botocore."""
        key, secret = (
            os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
        if key and secret:
            return _Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN"))
        if self._session_credentials is None:
            from botocore.session import Session  # noqa: PLC0415  slow to import

            self._session_credentials = Session().get_credentials()
            if self._session_credentials is None:
                raise NoCredentialsError
        # Temporary credentials are refreshed if necessary.
        return self._session_credentials.get_frozen_credentials()


class Sender:
    """Sends requests to an endpoint, through the proxy that the environment names, if any."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        options: dict[str, Any] = {
            "maxsize": _MAX_CONNECTIONS,
            "ca_certs": os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True),
        }
        proxies = ProxyConfiguration(get_environ_proxies(endpoint))
        self._pools = urllib3.PoolManager(**options)
        if proxy := proxies.proxy_url_for(endpoint):
            headers = proxies.proxy_headers_for(proxy)
            self._pools = urllib3.proxy_from_url(proxy, proxy_headers=headers, **options)
        self._pools.pool_classes_by_scheme = POOLS

    def send(
        self, make_request: Callable[[], Request], *, seconds: float, max_bytes: int
    ) -> Response:
        """Send a request; return the response.

        Args:
            make_request: returns the request. It may have to refresh credentials first.
            seconds: time limit, from making the request to the last byte of the response.
            max_bytes: maximum size of the response's body.

        Raises:
            EndpointConnectionError: the connection failed, or ended before the response.
            ReadTimeoutError: there was no complete response in time.
            InvalidResponse: the response is too large.
            BotoCoreError: there are no credentials.
        """

        def exchange() -> Response:
            request = make_request()
            response = self._pools.urlopen(
                "POST",
                request.url,
                body=request.body,
                headers=request.headers,
                timeout=seconds,
                retries=False,  # also returns redirects
                preload_content=False,
                decode_content=False,
            )
            body = response.read(max_bytes + 1)
            if len(body) > max_bytes:
                response.close()
                raise InvalidResponse
            if response.length_remaining:
                response.close()
                raise IncompleteRead(len(body), response.length_remaining)
            # urllib3 releases the connection at the end of the body.
            return Response(response.status, response.headers, body)

        try:
            return Exchange(exchange, seconds).run()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._endpoint) from error
        except (HTTPError, OSError) as error:
            raise EndpointConnectionError(endpoint_url=self._endpoint, error=error) from error


def _find_endpoint(service: str) -> tuple[str, str]:
    """Return the URL and region of a service."""
    region = os.environ.get("AWS_DEFAULT_REGION", "")
    if region and not any(os.environ.get(name) for name in _OTHER_ENDPOINTS):
        for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
            if url := os.environ.get(name):
                return url, region
        for suffix, regions in _DNS_SUFFIXES.items():
            # Elsewhere, a profile may name another endpoint.
            if in_lambda() and regions.fullmatch(region):
                return f"https://{service}.{region}.{suffix}", region
    from botocore.session import Session  # noqa: PLC0415  slow to import

    client = Session().create_client(service)
    return client.meta.endpoint_url, client.meta.region_name


def parse(response: Response, operation: str) -> dict[str, Any]:
    """Return the content of a response; raise an error unless the operation succeeded.

    Raises:
        ClientError: the service returned an error.
        ChecksumError: the response is damaged.
        InvalidResponse: the response is not a JSON object.
    """
    expected = response.headers.get("x-amz-crc32")
    if expected is not None and expected != (actual := str(zlib.crc32(response.body))):
        raise ChecksumError(
            checksum_type="crc32", expected_checksum=expected, actual_checksum=actual
        )
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        content = None
    is_object = isinstance(content, dict)
    if response.is_success:
        if not is_object:
            raise InvalidResponse
        return dict(content)
    if not is_object:
        content = {}
    code = str(content.get("__type", response.status)).partition(":")[0].rpartition("#")[2]
    message = content.get("message", content.get("Message", ""))
    metadata = {"HTTPStatusCode": response.status}
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    raise ClientError({**content, **error}, operation)


def _is_transient(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return True
    response = error.response
    return (
        response["ResponseMetadata"]["HTTPStatusCode"] in _TRANSIENT_STATUSES
        or response["Error"]["Code"] in _TRANSIENT_CODES
    )
