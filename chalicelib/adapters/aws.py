"""Requests to AWS APIs without botocore's clients, and with a time limit for the whole request.

Creating a botocore client would take up most of a cold start, and building a request with that
client would take up most of a callback. `JsonApi` only signs a request and sends it with
http.client (docs/adr/0028 and 0036). `JsonApi` raises botocore's exceptions, so callers handle the
errors of all clients in the same way.

An `Exchange` limits the time for each request, including the DNS lookup.
"""

import functools
import hmac
import json
import os
import select
import ssl
import time
import weakref
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.message import Message
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

import certifi
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from chalicelib.adapters.endpoints import find_endpoint, find_proxy
from chalicelib.adapters.exchange import Exchange, TrackedMixin

RETRY_PAUSE_SECONDS = 0.05
"""Pause before the only retry, as in botocore's legacy retry mode."""

_MAX_BYTES = 2**20
"""Default maximum size of a response. A DynamoDB item is at most 400 KB."""

_MIN_SECONDS = 0.001
"""Minimum time limit for a request. A timeout of 0 s would make the socket non-blocking."""

_PROXY_PORT = 80

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
"""The HTTP statuses and error codes after which botocore's legacy mode retries DynamoDB calls."""


class InvalidResponse(BotoCoreError):  # type: ignore[misc]  # botocore has no types
    """The response is too large, is not a JSON object, or lacks a value."""

    fmt = "The response is too large, is not a JSON object, or lacks a value."


class Request(NamedTuple):
    """An HTTP POST request."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Message
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the operation succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def stream(self) -> list[bytes]:
        """Return the body as the list of chunks that botocore's clients read."""
        return [self.body]


class _Credentials(NamedTuple):
    """Credentials with the same attributes as botocore's credentials."""

    access_key: str
    secret_key: str
    token: str | None


class JsonApi:
    """An AWS service whose requests and responses are JSON.

    Args:
        service: the service's name in endpoints, such as ``dynamodb``.
        target: the prefix of operations in the ``X-Amz-Target`` header.
        version: the version of the AWS JSON protocol.
        seconds: time limit for a call, including retries.
        attempts: maximum number of requests per call.
        max_bytes: maximum size of a response.
    """

    def __init__(
        self,
        service: str,
        *,
        target: str,
        version: str,
        seconds: float,
        attempts: int,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        self._service = service
        self._target = target
        self._content_type = f"application/x-amz-json-{version}"
        self._seconds = seconds
        self._attempts = attempts
        self._max_bytes = max_bytes
        endpoint, self._region = find_endpoint(service)
        self._url = endpoint.rstrip("/") + "/"
        self._host, self._path = _signed_parts(self._url)
        self._sender = Sender(self._url)
        self._session_credentials: Any = None

    def call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation; return its response.

        Raises:
            ClientError: the service returned an error.
            BotoCoreError: there are no credentials, or no usable response arrived in time.
        """
        deadline = time.monotonic() + self._seconds
        body = json.dumps(parameters).encode()
        for remaining in reversed(range(self._attempts)):
            # On a busy machine, the first attempt may use up the time for the second. In that case,
            # the second attempt gets the minimum time.
            seconds = max((deadline - time.monotonic()) / (remaining + 1), _MIN_SECONDS)
            try:
                response = self._sender.send(
                    lambda: self._sign(operation, body), seconds=seconds, max_bytes=self._max_bytes
                )
                return parse(response, operation)
            except (ClientError, EndpointConnectionError, ReadTimeoutError, ChecksumError) as error:
                if not remaining or not is_transient(error):
                    raise
            time.sleep(RETRY_PAUSE_SECONDS)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _sign(self, operation: str, body: bytes) -> Request:
        """Return a request signed with AWS Signature Version 4.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        credentials = self._credentials()
        timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        token_header = {"x-amz-security-token": credentials.token} if credentials.token else {}
        headers = {
            "content-type": self._content_type,
            "host": self._host,
            "x-amz-date": timestamp,
            **token_header,
            "x-amz-target": f"{self._target}.{operation}",
        }
        signed_headers = ";".join(headers)
        lines = [f"{name}:{value}" for name, value in headers.items()]
        payload_hash = sha256(body).hexdigest()
        canonical = ["POST", self._path, "", *lines, "", signed_headers, payload_hash]
        scope = (timestamp[:8], self._region, self._service, "aws4_request")
        canonical_hash = sha256("\n".join(canonical).encode()).hexdigest()
        string_to_sign = "\n".join(["AWS4-HMAC-SHA256", timestamp, "/".join(scope), canonical_hash])
        key = _signing_key(credentials.secret_key, *scope)
        signature = hmac.digest(key, string_to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{'/'.join(scope)}, "
            f"SignedHeaders={signed_headers}, Signature={signature}"
        )
        headers["user-agent"] = "taskrouter-callbacks"
        return Request(self._url, headers, body)

    def _credentials(self) -> Any:
        """Return credentials from the environment, as on Lambda, or from botocore's session."""
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
        # The call refreshes temporary credentials if necessary.
        return self._session_credentials.get_frozen_credentials()


class _HTTPConnection(TrackedMixin, HTTPConnection):
    """A tracked connection."""


class _HTTPSConnection(TrackedMixin, HTTPSConnection):
    """A tracked connection with TLS."""


class Sender:
    """Sends requests to an endpoint, through the proxy set in the environment, if any."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._proxy, self._proxy_headers = find_proxy(endpoint)
        self._idle: defaultdict[str, list[HTTPConnection]] = defaultdict(list)
        weakref.finalize(self, _close, self._idle)

    def send(
        self, make_request: Callable[[], Request], *, seconds: float, max_bytes: int
    ) -> Response:
        """Send a request; return the response.

        Args:
            make_request: returns the request, possibly after refreshing credentials.
            seconds: time limit, from making the request to the last byte of the response.
            max_bytes: maximum size of the response's body.

        Raises:
            EndpointConnectionError: the connection failed, or was closed before the response was
                complete.
            ReadTimeoutError: no complete response arrived in time.
            InvalidResponse: the response is too large.
            BotoCoreError: there are no credentials.
        """

        def exchange() -> Response:
            request = make_request()
            parts = urlsplit(request.url)
            connection = self._take_connection(parts, seconds)
            target, headers = parts.path, request.headers
            if self._proxy and parts.scheme == "http":
                target, headers = request.url, {**headers, **self._proxy_headers}
            try:
                connection.request("POST", target, request.body, headers)
                with connection.getresponse() as response:
                    body = response.read(max_bytes + 1)
                if len(body) > max_bytes:
                    raise InvalidResponse
                if response.length:
                    raise IncompleteRead(body, response.length)
            except BaseException:
                connection.close()
                raise
            if connection.sock:  # The server keeps the connection open.
                self._idle[parts.netloc].append(connection)
            return Response(response.status, response.headers, body)

        try:
            return Exchange(exchange, seconds).run()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._endpoint) from error
        except (HTTPException, OSError) as error:
            raise EndpointConnectionError(endpoint_url=self._endpoint, error=error) from error

    def _take_connection(self, url: SplitResult, seconds: float) -> HTTPConnection:
        """Return an idle connection that the server has not closed, or a new one."""
        with suppress(IndexError):
            while True:
                connection = self._idle[url.netloc].pop()
                poll = select.poll()
                poll.register(connection.sock, select.POLLIN)
                if not poll.poll(0):
                    connection.sock.settimeout(seconds)
                    return connection
                # The server has closed the connection, or sent unexpected data.
                connection.close()
        return self._make_connection(url, seconds)

    def _make_connection(self, url: SplitResult, seconds: float) -> HTTPConnection:
        host, port = url.hostname or "", url.port
        if self._proxy:
            host, port = self._proxy.hostname or "", self._proxy.port or _PROXY_PORT
        if url.scheme == "http":
            return _HTTPConnection(host, port, timeout=seconds)
        bundle = os.environ.get("AWS_CA_BUNDLE") or certifi.where()
        context = _make_tls_context(bundle)
        connection = _HTTPSConnection(host, port, timeout=seconds, context=context)
        if self._proxy:
            connection.set_tunnel(url.hostname or "", url.port, self._proxy_headers)
        return connection


def _close(connections: Mapping[str, list[HTTPConnection]]) -> None:
    for connection in chain.from_iterable(connections.values()):
        connection.close()


@functools.cache
def _make_tls_context(bundle: str) -> ssl.SSLContext:
    """Return a shared TLS context, because loading the certificates is slow."""
    return ssl.create_default_context(cafile=bundle)


def _signed_parts(url: str) -> tuple[str, str]:
    """Return the host and path of a URL as they appear in the canonical request."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port not in (None, {"http": 80, "https": 443}[parts.scheme]):
        host = f"{host}:{parts.port}"
    return host, quote(parts.path, safe="/~")


@functools.lru_cache(maxsize=2)
def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


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


def is_transient(error: Exception) -> bool:
    """Return whether a request that failed with this error may succeed if it is repeated."""
    if not isinstance(error, ClientError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in _TRANSIENT_STATUSES or _code(error) in _TRANSIENT_CODES


def _code(error: ClientError) -> Any:
    return error.response.get("Error", {}).get("Code")


def describe_error(service: str, error: ClientError) -> str:
    """Return a sentence with the error code, if any; advise a retry if the error is transient."""
    advice = " Retry." if is_transient(error) else ""
    return f"{service} returned {_code(error) or 'an error'}.{advice}"
