"""Secrets: auth tokens, API keys, shared keys and the secret of the OpenID Connect client.

During a rotation, there may be several auth tokens, API keys or shared keys. On AWS, the secrets
are stored in one SSM parameter, which each execution environment caches. A value older than five
minutes is read again before a request is verified. If a request can't be verified, or if TaskRouter
rejects the API key, the parameter is read again, at most once per minute.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import observability
from chalicelib.adapters.aws import JsonApi, describe_error
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.messages import describe_connection_failure
from chalicelib.domain.sids import is_sid

_RETRY_AFTER_MS = 1_000
"""Minimum time between attempts to read the secrets, until an attempt has succeeded."""

_RENEW_AFTER_MS = 60_000
"""Minimum time between the last read and a read caused by a failed verification or rejected key."""

_MAX_AGE_MS = 300_000
"""Maximum age of the secrets that verify a request. Older secrets are used only if a read fails."""


@dataclass(frozen=True)
class Secrets:
    """The secrets of the service.

    Attributes:
        auth_tokens: auth tokens of the account: the current one and, during a rotation, the next.
        api_keys: secrets by API key SID (SK…); the first key authenticates requests to TaskRouter.
        shared_keys: secrets of Twilio SharedKeys, by ID.
        oidc_client_secret: this service's client secret for the identity provider; may be empty.
    """

    auth_tokens: tuple[str, ...] = field(repr=False)
    api_keys: Mapping[str, str] = field(repr=False)
    shared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    oidc_client_secret: str = field(default="", repr=False)

    @property
    def api_key(self) -> tuple[str, str]:
        """The SID and secret of the API key for requests to TaskRouter."""
        return next(iter(self.api_keys.items()))


class SecretsSource(Protocol):
    """A source of secrets."""

    def get(self) -> Secrets:
        """Return the secrets; raise SecretsUnavailable if they can't be read at all."""

    def refresh(self) -> Secrets:
        """Return the secrets; reread them unless they were read within the last minute."""

    def get_recent(self) -> Secrets:
        """Return the secrets; reread them if they are more than a few minutes old.

        A removed key therefore becomes invalid within minutes, unless reading the secrets fails.
        """


class FixedSecrets:
    """Secrets from the settings."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def get(self) -> Secrets:
        """Return the secrets."""
        return self._secrets

    refresh = get_recent = get


class ParameterSecrets:
    """Secrets in one SSM parameter.

    The parameter is a SecureString or a Secrets Manager secret read through SSM. The value is JSON:
    ``{"auth_tokens": ["…"], "api_keys": {"SK…": "…"}, "shared_keys": {}}``, with an optional
    ``"oidc_client_secret": "…"``.

    Args:
        name: name of the parameter.
        client: SSM client made by `ssm_client`.
        now_ms: returns the current time in epoch ms.
    """

    def __init__(self, name: str, client: Any, now_ms: Callable[[], int]) -> None:
        self._name = name
        self._client = client
        self._now_ms = now_ms
        self._secrets: Secrets | None = None
        self._last_attempt_at = 0
        self._failure: SecretsUnavailable | None = None

    def get(self) -> Secrets:
        """Return the secrets. A failed first read is retried at most once per second."""
        if self._secrets is None:
            if self._failure and self._now_ms() - self._last_attempt_at < _RETRY_AFTER_MS:
                raise self._failure
            self._secrets = self._read()
        return self._secrets

    def refresh(self) -> Secrets:
        """Return the secrets; reread them if the last attempt was over a minute ago."""
        return self._get_with_max_age(_RENEW_AFTER_MS)

    def get_recent(self) -> Secrets:
        """Return the secrets; reread them if the last attempt was over five minutes ago."""
        return self._get_with_max_age(_MAX_AGE_MS)

    def _get_with_max_age(self, max_age_ms: int) -> Secrets:
        secrets = self.get()
        if self._now_ms() - self._last_attempt_at < max_age_ms:
            return secrets
        # If the read fails, the previous secrets are better than none.
        with suppress(SecretsUnavailable):
            secrets = self._secrets = self._read()
        return secrets

    def _read(self) -> Secrets:
        self._last_attempt_at = self._now_ms()
        try:
            return parse_secrets(self._read_value())
        except SecretsUnavailable as failure:
            self._failure = failure
            observability.bind(secrets=failure.message)
            raise

    def _read_value(self) -> str:
        try:
            response = self._client.get_parameter(Name=self._name, WithDecryption=True)
            return str(response["Parameter"]["Value"])
        except ClientError as error:
            message = f"The secrets can't be read: {describe_error('SSM', error)}"
            raise SecretsUnavailable(message) from error
        except BotoCoreError as error:
            url = error.kwargs.get("endpoint_url")
            cause = f"SSM {describe_connection_failure(url, error)}" if url else str(error)
            message = f"The secrets can't be read: {cause.rstrip('.')}. Retry."
            raise SecretsUnavailable(message) from error
        except (KeyError, TypeError) as error:
            message = "The secrets can't be read: SSM returned no value. Retry."
            raise SecretsUnavailable(message) from error


class _SsmClient:
    """A minimal SSM client that supports only the operation that this service uses."""

    def __init__(self, budget: float) -> None:
        self._api = JsonApi("ssm", target="AmazonSSM", version="1.1", seconds=budget, attempts=1)

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        """Call GetParameter; return the response."""
        return self._api.call("GetParameter", request)


def ssm_client(budget: float) -> Any:
    """Return an SSM client that makes one attempt per call, within *budget* seconds."""
    return _SsmClient(budget)


_FORMAT_MESSAGE = (
    "The secrets must be a JSON object with auth_tokens (a non-empty list), api_keys (a non-empty "
    "object keyed by SK… SID) and, if used, shared_keys (an object keyed by ID) and "
    "oidc_client_secret (a string). All tokens and keys must be non-empty strings."
)


def parse_secrets(text: str) -> Secrets:
    """Parse the value of the parameter.

    Raises:
        SecretsUnavailable: The value is malformed. The message contains no part of the value.
    """
    try:
        value = parse_json_object(text)
        tokens, keys = value["auth_tokens"], value["api_keys"]
        shared, client_secret = value.get("shared_keys", {}), value.get("oidc_client_secret", "")
    except (JsonError, KeyError) as error:
        raise SecretsUnavailable(_FORMAT_MESSAGE) from error
    is_valid = (
        _has_strings(tokens, list)
        and _has_strings(keys, dict)
        and all(is_sid(sid, "SK") for sid in keys)
        and (shared == {} or _has_strings(shared, dict))
        and isinstance(client_secret, str)
    )
    if not is_valid:
        raise SecretsUnavailable(_FORMAT_MESSAGE)
    return Secrets(tuple(tokens), keys, shared, client_secret)


def _has_strings(value: Any, container: type[list[Any]] | type[dict[Any, Any]]) -> bool:
    """Return whether *value* is a non-empty list or dict of non-empty strings."""
    if not isinstance(value, container) or not value:
        return False
    strings: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return all(isinstance(string, str) and string for string in strings)
