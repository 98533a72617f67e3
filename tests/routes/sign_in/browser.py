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
ALICE = sid("WK")


class Directory:
    """A fake directory of Workers, by attribute and value."""

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
    """A browser that keeps cookies and can begin and finish a sign-in."""

    api: Api
    provider: FakeProvider
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, accept: str = "") -> Any:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookies, "Accept": accept}
        sent = {name: value for name, value in headers.items() if value}
        response = self.api.call("GET", path, token=None, headers=sent)
        for name, morsel in SimpleCookie(response.headers.get("Set-Cookie", "")).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return response

    def begin(self, query: str = "") -> str:
        """Begin a sign-in; return the query of the provider's redirect to the callback."""
        response = self.get(f"/console/sign-in{query}")
        assert response.status_code == 302, response.body
        return self.provider.authorize(response.headers["Location"])

    def finish(self, query: str) -> Any:
        return self.get(f"/console/callback?{query}")

    def sign_in(self, query: str = "") -> Any:
        return self.finish(self.begin(query))


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
    """Return the code for the page and the message of a refused sign-in."""
    assert response.status_code == 403
    assert response.json_body["Code"] == "ForbiddenError"
    assert "Location" not in response.headers
    start = f"0; url={BASE_URL}/console/#sign-in-error="
    assert response.headers["Refresh"].startswith(start)
    return response.headers["Refresh"].removeprefix(start), response.json_body["Message"]


def claims_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 303, response.body
    values = fragment(response)
    assert values.keys() == {"token"}, values
    return jwt.decode(values["token"], options={"verify_signature": False})
