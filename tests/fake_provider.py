"""A fake OpenID Connect provider on a real socket, for tests only.

Tests change its keys, claims and responses to those of an attacker or a broken provider.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

CLIENT_ID = "console+of:the%contact/center"
METADATA_PATH = "/.well-known/openid-configuration"

_FAMILIES: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


@cache
def private_key(name: str) -> Any:
    """Return the private key for a name, such as ``RSA 1``, ``RSA 1024`` (bits) or ``EC 256``.

    The keys are cached, because generating RSA keys takes time.
    """
    kind, number = name.split()
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, int(number) if int(number) > 100 else 2048)
        case "EC":
            curves = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}
            return ec.generate_private_key(curves[number])
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_jwk(name: str, **properties: Any) -> dict[str, Any]:
    """Return the published form of a key. A value of None removes a property."""
    family = _FAMILIES[name.split(maxsplit=1)[0]]
    jwk = json.loads(family.to_jwk(private_key(name).public_key()))
    jwk = {**jwk, "kid": name, "use": "sig", **properties}
    jwk.pop("key_ops", None)
    return {key: value for key, value in jwk.items() if value is not None}


def sign(
    claims: dict[str, Any], key: str = "RSA 1", algorithm: str = "RS256", **header: Any
) -> str:
    return jwt.encode(claims, private_key(key), algorithm=algorithm, headers={"kid": key, **header})


class FakeProvider:
    """The provider's state.

    Attributes:
        claims: claims about the user, in the ID token; None removes a claim.
        user_info: the UserInfo response; None removes the endpoint from the metadata.
        jwks: the published keys.
        make_token: makes the ID token from its claims.
        metadata: properties that override the default metadata; None removes a property.
        responses: functions that respond instead of the provider, by path.
        client_secret: the client's secret; empty for a public client.
        requests: counts of requests, by path.
        forms: the forms that the token endpoint received.
        authorizations: the Authorization header of each request to the token endpoint, or None.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.claims: dict[str, Any] = {
            "sub": "248289761001",
            "email": "alice@example.com",
            "email_verified": True,
        }
        self.user_info: dict[str, Any] | None = None
        self.jwks = [public_jwk("RSA 1")]
        self.make_token: Callable[[dict[str, Any]], str] = sign
        self.metadata: dict[str, Any] = {}
        self.responses: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.client_secret = ""
        self.requests: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> str:
        """Sign the user in at the authorization endpoint; return the query of the redirect URL."""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert url.startswith(f"{self.url}/authorize?")
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return f"code={code}&state={query['state']}"

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path
        self.requests[path] += 1
        if path in self.responses:
            self.responses[path](request)
            return
        match (request.command, path):
            case ("GET", "/.well-known/openid-configuration"):
                send_json(request, 200, self._describe())
            case ("GET", "/jwks"):
                send_json(request, 200, {"keys": self.jwks})
            case ("POST", "/token"):
                send_json(request, *self._exchange(request))
            case ("GET", "/userinfo"):
                assert request.headers["Authorization"] == "Bearer access"
                send_json(request, 200, self.user_info or {})
            case _:
                send_json(request, 404, {})

    def _describe(self) -> dict[str, Any]:
        metadata = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": None if self.user_info is None else f"{self.url}/userinfo",
            **self.metadata,
        }
        return {name: value for name, value in metadata.items() if value is not None}

    def _exchange(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, Any]]:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.forms.append(form)
        self.authorizations.append(request.headers["Authorization"])
        if not self._authenticates(form, request.headers["Authorization"]):
            return 401, {"error": "invalid_client"}
        query = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            query is None
            or challenge != query["code_challenge"]
            or form["redirect_uri"] != query["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.claims,
        }
        token = self.make_token(
            {name: value for name, value in claims.items() if value is not None}
        )
        return 200, {"id_token": token, "access_token": "access", "token_type": "Bearer"}

    def _authenticates(self, form: dict[str, str], authorization: str | None) -> bool:
        if not self.client_secret:
            return authorization is None and form.get("client_id") == CLIENT_ID
        if authorization is None:
            return (form["client_id"], form["client_secret"]) == (CLIENT_ID, self.client_secret)
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        return [*map(unquote_plus, pair.split(":"))] == [CLIENT_ID, self.client_secret]


def send_json(request: BaseHTTPRequestHandler, status: int, value: object) -> None:
    send(request, status, json.dumps(value).encode())


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def serve_provider() -> Iterator[FakeProvider]:
    """Serve a provider on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            provider.respond(self)

        do_POST = do_GET  # noqa: N815  the name that the standard library requires

        def log_message(self, *_arguments: object) -> None:
            """Suppress the request log."""

        def handle(self) -> None:
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = FakeProvider(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
