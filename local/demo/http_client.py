"""Calls over HTTP, as the demo and the end-to-end tests make them."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any


class Caller:
    """Calls one server with one identity."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        token: str = "",
        account: tuple[str, str] | None = None,
        json: bool = False,
    ) -> None:
        """Set up the calls.

        Args:
            name: What people call the server.
            url: What paths are relative to.
            token: A bearer token to send.
            account: User and password of Basic auth.
            json: Whether what is posted goes as JSON, else as a form.
        """
        self.name = name
        self._url = url
        self._body = "json" if json else "data"
        self._session = requests.Session()
        # Loopback, whatever proxies and .netrc the shell has.
        self._session.trust_env = False
        self._session.auth = account
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    @property
    def headers(self) -> Mapping[str, str | bytes]:
        """What is sent with every call."""
        return self._session.headers

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """GET a path."""
        return self._answer(
            self._session.get(self._url + path, params=parameters, timeout=TIMEOUT_SECONDS)
        )

    def post(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """POST parameters, or nothing."""
        body: dict[str, Any] = {self._body: form}
        return self._answer(self._session.post(self._url + path, **body, timeout=TIMEOUT_SECONDS))

    @staticmethod
    def _answer(response: requests.Response) -> Answer:
        try:
            return Answer(response.status_code, response.json())
        except ValueError:
            return Answer(response.status_code, response.text)


def names(url: str) -> dict[str, Any]:
    """Its made-up credentials, and the SIDs by name: what GET /simulator answers.

    Args:
        url: The simulator's.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/simulator", timeout=5) as answer:
        described: dict[str, Any] = json.load(answer)
    return described
