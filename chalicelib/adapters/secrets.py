"""Secrets: auth tokens, API keys and shared keys, several of each while one is being rotated.

On AWS they are one SSM parameter, read once per container. A rotation heals by itself: what does
not verify makes us read again, at most once a minute, however many forged calls come.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import observability
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import is_sid

_RETRY_AFTER_MS = 1_000
_REREAD_AFTER_MS = 60_000
_STALE_AFTER_MS = 300_000


@dataclass(frozen=True)
class Secrets:
    """What we hold.

    Attributes:
        auth_tokens: the account's; the current one, and during a rotation the next.
        api_keys: secret by API key SID (SK…); TaskRouter is called with the first.
        shared_keys: Twilio SharedKey secret by its id.
    """

    auth_tokens: tuple[str, ...] = field(repr=False)
    api_keys: Mapping[str, str] = field(repr=False)
    shared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def api_key(self) -> tuple[str, str]:
        """The SID and secret of the API key for requests to TaskRouter."""
        return next(iter(self.api_keys.items()))


class SecretsSource(Protocol):
    """Where secrets come from."""

    def current(self) -> Secrets:
        """Return them; raises SecretsUnavailable where they were never read."""

    def renewed(self) -> Secrets:
        """Return them read anew, if the last reading is long enough ago, else as they are."""

    def recent(self) -> Secrets:
        """Return them as they were within the last minutes, so that a removed key stops holding."""


class FixedSecrets:
    """Secrets that came with the settings."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def current(self) -> Secrets:
        """Return them."""
        return self._secrets

    renewed = recent = current


class ParameterSecrets:
    """Secrets in one SSM parameter: a SecureString, or Secrets Manager through SSM.

    Its value is JSON: ``{"auth_tokens": ["…"], "api_keys": {"SK…": "…"}, "shared_keys": {}}``.

    Args:
        name: the parameter's name.
        client: an SSM client, from `ssm_client`.
        now_ms: returns the current time, in epoch ms.
    """

    def __init__(self, name: str, client: Any, now_ms: Callable[[], int]) -> None:
        self._name = name
        self._client = client
        self._now_ms = now_ms
        self._secrets: Secrets | None = None
        self._tried_at = 0
        self._failure: SecretsUnavailable | None = None

    def current(self) -> Secrets:
        """Return them; read where that has not succeeded yet, once a second at most."""
        if self._secrets is None:
            if self._failure and self._now_ms() - self._tried_at < _RETRY_AFTER_MS:
                raise self._failure
            self._secrets = self._read()
        return self._secrets

    def renewed(self) -> Secrets:
        """Return them read anew, unless the last reading was within the minute."""
        return self._no_older_than(_REREAD_AFTER_MS)

    def recent(self) -> Secrets:
        """Return them, read anew where the last reading was minutes ago and this one succeeds."""
        return self._no_older_than(_STALE_AFTER_MS)

    def _no_older_than(self, age: int) -> Secrets:
        secrets = self.current()
        if self._now_ms() - self._tried_at < age:
            return secrets
        # Where that fails, what we have held a minute ago, and is better than nothing.
        with suppress(SecretsUnavailable):
            self._secrets = self._read()
        return self._secrets or secrets

    def _read(self) -> Secrets:
        self._tried_at = self._now_ms()
        try:
            return parse_secrets(self._value())
        except SecretsUnavailable as failure:
            self._failure = failure
            observability.bind(secrets=failure.message)
            raise

    def _value(self) -> str:
        try:
            answer = self._client.get_parameter(Name=self._name, WithDecryption=True)
        except (ClientError, BotoCoreError) as error:
            raise SecretsUnavailable(
                f"The secrets can't be read ({type(error).__name__}); try again."
            ) from error
        value: str = answer["Parameter"]["Value"]
        return value


def ssm_client(budget: float) -> Any:
    """Return an SSM client whose only attempt is over within *budget* seconds."""
    return boto3.client(
        "ssm",
        config=Config(
            connect_timeout=budget / 3,
            read_timeout=budget * 2 / 3,
            retries={"mode": "legacy", "max_attempts": 0},
        ),
    )


def parse_secrets(text: str) -> Secrets:
    """Read a parameter's value; raises SecretsUnavailable, which shows nothing of it."""
    try:
        value = parse_json_object(text)
        tokens, keys = value["auth_tokens"], value["api_keys"]
        shared = value.get("shared_keys", {})
    except (JsonError, KeyError) as error:
        raise SecretsUnavailable(_SHAPE) from error
    right = (
        _all_texts(tokens, list)
        and _all_texts(keys, dict)
        and all(is_sid(sid, "SK") for sid in keys)
        and (shared == {} or _all_texts(shared, dict))
    )
    if not right:
        raise SecretsUnavailable(_SHAPE)
    return Secrets(tuple(tokens), keys, shared)


_SHAPE = (
    "The parameter that SECRETS_PARAMETER names must be JSON with auth_tokens (a list), "
    "api_keys (an object by SK…) and, if used, shared_keys (an object by id)."
)


def _all_texts(value: Any, kind: type[list[Any]] | type[dict[Any, Any]]) -> bool:
    """Tell whether *value* is a *kind* (list or dict) of non-empty texts, and not empty itself."""
    if not isinstance(value, kind) or not value:
        return False
    texts: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return all(isinstance(text, str) and text for text in texts)
