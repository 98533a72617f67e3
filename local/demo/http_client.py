"""HTTP client for the demo, `make run` and the end-to-end tests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from local import network

TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: HTTP status.
        body: Parsed JSON, or text if the body is not JSON.
    """

    status: int
    body: Any


class HttpClient:
    """Sends requests to one server, always with the same credentials."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        token: str = "",
        account: tuple[str, str] | None = None,
        json: bool = False,
    ) -> None:
        """Create a client.

        Args:
            name: Name of the server in the output.
            url: Base URL for all paths.
            token: Bearer token to send.
            account: User and password for Basic authentication.
            json: Whether to post parameters as JSON instead of as a form.
        """
        self.name = name
        self._url = url
        self._body = "json" if json else "data"
        self._session = requests.Session()
        # The servers are local, so ignore the shell's proxies and .netrc.
        self._session.trust_env = False
        self._session.auth = account
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    @property
    def headers(self) -> Mapping[str, str | bytes]:
        """The headers sent with every request."""
        return self._session.headers

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Response:
        """Send a GET request."""
        return _parse(
            self._session.get(self._url + path, params=parameters, timeout=TIMEOUT_SECONDS)
        )

    def list_reservations(self, status: str) -> Iterator[dict[str, Any]]:
        """Yield the app's Reservations with the given status; stop after an error."""
        parameters = {"status": status}
        while True:
            page = self.get("/reservations", parameters).body
            yield from page.get("reservations", [])
            if not page.get("next_cursor"):
                return
            parameters["cursor"] = page["next_cursor"]

    def post(self, path: str, form: Mapping[str, str] | None = None) -> Response:
        """Send a POST request with parameters or an empty body."""
        body: dict[str, Any] = {self._body: form}
        return _parse(self._session.post(self._url + path, **body, timeout=TIMEOUT_SECONDS))


def _parse(response: requests.Response) -> Response:
    try:
        return Response(response.status_code, response.json())
    except ValueError:
        return Response(response.status_code, response.text)


def fetch_identifiers(url: str) -> dict[str, Any]:
    """Return the simulator's test credentials and SIDs, from GET /simulator.

    Args:
        url: Base URL of the simulator.
    """
    with network.DIRECT_OPENER.open(f"{url}/simulator", timeout=5) as response:
        identifiers: dict[str, Any] = json.load(response)
    return identifiers
