"""A browser that signs in, a fake directory of Workers, and helpers that read responses."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import jwt

from tests.fake_provider import FakeProvider
from tests.routes.conftest import BASE_URL, Api
from tests.support import sid

COOKIE = "__Secure-console-sign-in"
TOKEN_COOKIE = "__Secure-console-token"
ALICE = sid("WK")


class Directory:
    """A fake directory that finds Workers by an attribute's value."""

    def __init__(self) -> None:
        self.workers: dict[tuple[str, str], list[str]] = {
            ("friendly_name", "alice@example.com"): [ALICE]
        }
        self.searches: list[tuple[str, str]] = []

    def find_workers(self, attribute: str, value: str) -> list[str]:
        self.searches.append((attribute, value))
        return self.workers.get((attribute, value), [])


@dataclass
class Browser:
    """A browser that stores cookies and can start and finish a sign-in."""

    api: Api
    provider: FakeProvider
    cookies: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    """The path of each cookie by name, relative to the root of the app."""

    def get(self, path: str, *, accept: str = "") -> Any:
        return self.send("GET", path, accept=accept)

    def send(self, method: str, path: str, *, accept: str = "", **options: Any) -> Any:
        pairs = self.cookies.items()
        sent = [f"{n}={v}" for n, v in pairs if path.startswith(self.paths.get(n, ""))]
        values = {"Cookie": "; ".join(sent), "Accept": accept}
        headers = {name: value for name, value in values.items() if value}
        response = self.api.call(method, path, token=None, headers=headers, **options)
        for header in set_cookies(response):
            for name, morsel in SimpleCookie(header).items():
                self.paths[name] = "/console" + morsel["path"].partition("/console")[2]
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return response

    def redeem(self, body: bytes = b"{}", content_type: str | None = "application/json") -> Any:
        """Exchange the cookie of a completed sign-in for the token, as the page does."""
        return self.send("POST", "/console/session", body=body, content_type=content_type)

    def begin(self, query: str = "") -> str:
        """Start a sign-in; return the query of the provider's redirect to the callback."""
        response = self.get(f"/console/sign-in{query}")
        assert response.status_code == 302, response.body
        return self.provider.authorize(response.headers["Location"])

    def finish(self, query: str) -> Any:
        return self.get(f"/console/callback?{query}")

    def sign_in(self, query: str = "") -> Any:
        return self.finish(self.begin(query))


def set_cookies(response: Any) -> list[str]:
    """Return the Set-Cookie headers of a response."""
    headers = response.headers.get("Set-Cookie", [])
    return [headers] if isinstance(headers, str) else headers


def fragment(response: Any) -> dict[str, str]:
    """Return the parameters in the fragment of the URL to which a sign-in redirects."""
    page, _, text = response.headers["Location"].partition("#")
    assert page.startswith(f"{BASE_URL}/console/")
    return {name: values[0] for name, values in parse_qs(text).items()}


def failure(response: Any) -> str:
    assert response.status_code == 303, response.body
    assert response.body == b""
    values = fragment(response)
    assert values.keys() == {"sign-in-error"}
    return values["sign-in-error"]


def refusal(response: Any) -> tuple[str, str]:
    """Return the error code that a refused sign-in sends to the page, and the error message."""
    assert response.status_code == 403
    assert response.json_body["Code"] == "ForbiddenError"
    assert "Location" not in response.headers
    start = f"0; url={BASE_URL}/console/#sign-in-error="
    assert response.headers["Refresh"].startswith(start)
    return response.headers["Refresh"].removeprefix(start), response.json_body["Message"]


def claims_of(response: Any) -> dict[str, Any]:
    """Return the claims of the token in the cookie of a completed sign-in."""
    assert response.status_code == 303, response.body
    assert fragment(response) == {"sign-in": "complete"}
    deleted, header = set_cookies(response)
    assert deleted.startswith(f"{COOKIE}=; ")
    token = SimpleCookie(header)[TOKEN_COOKIE].value
    return jwt.decode(token, options={"verify_signature": False})
