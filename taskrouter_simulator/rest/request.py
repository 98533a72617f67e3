"""Validates parameters, finds the resources in a path, and paginates lists.

Invalid parameters are rejected with code 20001, as in Twilio's API.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl, urlencode

from taskrouter_simulator.engine import workers, workspaces
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest, NotFound, PreconditionFailed
from taskrouter_simulator.engine.expressions import Predicate
from taskrouter_simulator.engine.model import (
    MAX_ATTRIBUTES_LENGTH,
    NESTING_RESERVE,
    Resource,
    Workspace,
)
from taskrouter_simulator.engine.names import Scope
from taskrouter_simulator.identifiers import is_url
from taskrouter_simulator.rest.pages import BY_CREATION, AnyResource, Ordering, paginate
from taskrouter_simulator.spelling import describe_unknown

AnyEnum = TypeVar("AnyEnum", bound=StrEnum)

_TRUE = {"true", "1", "yes"}
_FALSE = {"false", "0", "no"}
_ABSOLUTE_PAGING = 40153
PAGING = ("PageSize", "Page", "PageToken")
"""The paging parameters, which every list operation accepts."""


class Parameters:
    """The parameters in a form or a query string.

    Methods that read a parameter return its value, and raise BadRequest if the value is invalid.
    All of these methods except `all`, `choices`, `required` and `sids` return None if the parameter
    is absent. An empty value is invalid unless the method's docstring says otherwise. Except in
    `sids`, reading a parameter that is not among `names` raises KeyError.

    Args:
        text: The encoded parameters; a name may be repeated.
        names: Names of the operation's parameters. Other parameters in the text are ignored, but
            `require_known` rejects them.
        lists: Names of the parameters that may be repeated; for all others, the last value is used.

    Raises:
        BadRequest: There are more than 1000 parameters, or a parameter is not valid UTF-8.
    """

    def __init__(self, text: str, names: tuple[str, ...], lists: tuple[str, ...] = ()) -> None:
        try:
            self.pairs = parse_qsl(
                text, keep_blank_values=True, max_num_fields=1000, errors="strict"
            )
        except UnicodeDecodeError as error:
            raise BadRequest("The request's parameters are not valid UTF-8") from error
        except ValueError as error:
            raise BadRequest("The request has too many parameters") from error
        given = dict(self.pairs)
        self._values = {name: given.get(name) for name in names}
        self._lists = lists

    def given(self) -> list[str]:
        """Return the names of the operation's parameters that the request contains."""
        return [name for name, value in self._values.items() if value is not None]

    def require_known(self) -> None:
        """Raise BadRequest if the request contains an unknown or a repeated parameter."""
        names = [name for name, _ in self.pairs]
        for name in names:
            if name not in self._values:
                raise BadRequest(f"Unknown parameter {describe_unknown(name, self._values)}")
            if name not in self._lists and names.count(name) > 1:
                raise BadRequest(f"{name} must not be repeated")

    def all(self, name: str) -> list[str]:
        """Return all values, which may be empty, of a repeated or comma-separated parameter."""
        if self._values[name] is None:
            return []
        values = [part for key, value in self.pairs if key == name for part in value.split(",")]
        return [value.strip() for value in values]

    def choices(self, name: str, allowed: type[AnyEnum]) -> set[AnyEnum]:
        """Return the enumeration members in a repeated or comma-separated parameter."""
        members = {member.value.lower(): member for member in allowed}
        return {
            members.get(value.lower()) or _reject_choice(name, allowed) for value in self.all(name)
        }

    def text(
        self, name: str, *, max_length: int | None = None, allow_empty: bool = True
    ) -> str | None:
        """Return the unchanged value, which may be empty unless `allow_empty` is false."""
        value = self._values[name]
        if value is not None and not allow_empty and not value.strip():
            raise BadRequest(f"{name} must not be empty")
        if value is not None and max_length is not None and len(value) > max_length:
            raise BadRequest(f"{name} must not be longer than {max_length} characters")
        return value

    def required(self, name: str, *, max_length: int | None = None) -> str:
        """Return the unchanged value, which must not be blank."""
        value = self.text(name, max_length=max_length)
        if not value or not value.strip():
            raise BadRequest(f"Missing required parameter {name} in the post body")
        return value

    def boolean(self, name: str, *, others_are_false: bool = False) -> bool | None:
        """Return True for `true`, `1` and `yes`, and False for `false`, `0` and `no`.

        Args:
            name: Name of the parameter.
            others_are_false: Whether Twilio documents that any other value means false.
        """
        value = self._values[name]
        if value is None:
            return None
        is_true = value.lower() in _TRUE
        if not (is_true or others_are_false or value.lower() in _FALSE):
            raise BadRequest(f"{name} must be true or false")
        return is_true

    def integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """Return a whole number within limits."""
        value = self._values[name]
        if value is None:
            return None
        number = int(value) if re.fullmatch(r"-?[0-9]{1,12}", value) else math.inf
        if not minimum <= number <= maximum:
            raise BadRequest(f"{name} must be a whole number from {minimum} to {maximum}")
        return int(number)

    def sid(self, name: str, prefix: str) -> str | None:
        """Return a SID whose prefix matches the regular expression `prefix`."""
        value = self._values[name]
        if value is not None and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise BadRequest(f"{name} {value[:100]!r} is not a valid SID")
        return value

    def sids(self, name: str, prefix: str) -> list[str]:
        """Return the SIDs with the given prefix in a repeated parameter."""
        values = [value for key, value in self.pairs if key == name]
        for value in values:
            if not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
                raise BadRequest(f"{name} {value[:100]!r} is not a valid SID")
        return values

    def choice(self, name: str, allowed: type[AnyEnum]) -> AnyEnum | None:
        """Return an enumeration member, ignoring case."""
        value = self._values[name]
        if value is None:
            return None
        members = {member.value.lower(): member for member in allowed}
        return members.get(value.lower()) or _reject_choice(name, allowed)

    def url(self, name: str) -> str | None:
        """Return an absolute http(s) URL, or an empty value, which clears a stored URL."""
        value = self._values[name]
        if value and not is_url(value):
            raise BadRequest(f"{name} is not a valid URL")
        return value

    def attributes(self) -> str | None:
        """Return `Attributes`, a JSON object, as an unparsed string."""
        text = self.text("Attributes", max_length=MAX_ATTRIBUTES_LENGTH)
        if text is None:
            return None
        try:
            json.loads("[" * NESTING_RESERVE + text + "]" * NESTING_RESERVE)
            value = json.loads(text, parse_constant=_reject_constant, parse_float=_require_finite)
        except ValueError:
            value = None
        except RecursionError as error:
            raise BadRequest("Attributes is nested too deeply") from error
        if not isinstance(value, dict):
            raise BadRequest("Attributes must be a valid JSON object")
        return text

    def moment(self, name: str) -> float | None:
        """Convert an ISO 8601 date and time (default: UTC) to seconds since the epoch."""
        value = self._values[name]
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC).timestamp()  # fails outside the years 1 to 9999
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"{name} must be an ISO 8601 date and time") from error


def _reject_choice(name: str, allowed: type[StrEnum]) -> NoReturn:
    raise BadRequest(f"{name} must be one of {', '.join(member.value for member in allowed)}")


def _reject_constant(name: str) -> NoReturn:
    """Reject NaN and Infinity, which are not JSON but are accepted by Python's parser."""
    raise ValueError(name)


def _require_finite(text: str) -> float:
    """Reject a number that Python parses as Infinity, because JSON has no Infinity."""
    number = float(text)
    if math.isinf(number):
        raise BadRequest(f"Attributes must not contain the number {text[:50]}, which is too large")
    return number


def iso(moment: float | None) -> str | None:
    """Format seconds since the epoch as Twilio does, without fractions."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Response:
    """A response from the REST API.

    Attributes:
        status: HTTP status.
        body: Content to send as JSON; None means no body.
        version: Version of the resource, sent as the ETag; None means no ETag.
        retry_after: Value of the Retry-After header in seconds.
        media_type: Media type of the body.
    """

    status: int
    body: Any = None
    version: int | None = None
    retry_after: int | None = None
    media_type: str = "application/json"


@dataclass(frozen=True)
class Request:
    """An authenticated request.

    Attributes:
        engine: The engine.
        base_url: Scheme, host and port used by the client.
        path: Path of the URL, beginning with /v1.
        ids: SIDs or unique names in the path, keyed by path parameter.
        form: Parameters of the body.
        query: Parameters of the query string.
        if_match: The If-Match header.
    """

    engine: Engine
    base_url: str
    path: str
    ids: Mapping[str, str]
    form: Parameters
    query: Parameters
    if_match: str | None = None

    @property
    def workspace(self) -> Workspace:
        """The Workspace in the path."""
        return self.find(self.engine.workspaces, "workspace")

    def find(self, resources: Mapping[str, AnyResource], name: str) -> AnyResource:
        """Return the resource identified by the path parameter with the given name.

        Raises:
            NotFound: The resource does not exist. As in Twilio's API, the message shows the path
                without /v1.
        """
        resource = resources.get(self.ids[name])
        if resource is None:
            raise NotFound(self.path.removeprefix("/v1"))
        return resource

    def activity_sid(self, name: str) -> str | None:
        """Return the SID of an existing Activity from a form parameter.

        Raises:
            BadRequest: The value is not a SID, or the Activity does not exist.
        """
        sid = self.form.sid(name, "WA")
        return workers.require_activity(self.workspace, sid, name).sid if sid else None

    def predicate(self, name: str, scope: Scope) -> Predicate | None:
        """Compile the expression in a query parameter.

        Raises:
            BadRequest: The text is not an expression, or contains a name that cannot be resolved.
        """
        text = self.query.text(name, allow_empty=False)
        if text is None:
            return None
        workspaces.require_expression(self.engine, self.workspace, text, scope, name)
        return self.engine.compile(text)

    def url(self, *parts: str) -> str:
        """Return the absolute URL of a resource."""
        return "/".join((f"{self.base_url}/v1/Workspaces", *parts))

    def require_match(self, resource: Resource) -> None:
        """Compare the If-Match header with the version of a resource.

        Raises:
            PreconditionFailed: The header specifies a different version.
        """
        if self.if_match is None or self.if_match.strip() == "*":
            return
        if self.if_match.strip().removeprefix("W/").strip('"') != str(resource.version):
            raise PreconditionFailed(f"ETag {self.if_match} does not match")

    def page(
        self,
        key: str,
        resources: Iterable[AnyResource],
        render: Callable[["Request", AnyResource], dict[str, Any]],
        *,
        keep: Callable[[AnyResource], bool] = lambda _resource: True,
        ordering: Ordering = BY_CREATION,
    ) -> Response:
        """Return one page of a list in Twilio's envelope.

        Raises:
            BadRequest: The page size, page number or page token is invalid.
        """
        size = self.query.integer("PageSize", 1, 1000) or 50
        number = self.query.integer("Page", 0, 10**6) or 0
        token = self.query.text("PageToken", allow_empty=False)
        if number and not token:
            raise BadRequest("Absolute paging is not supported, use PageToken", _ABSOLUTE_PAGING)
        filtered = (resource for resource in resources if keep(resource))
        page = paginate(self.path, filtered, ordering, token, size)
        previous_token, next_token = page.previous_token, page.next_token
        meta = {
            "first_page_url": self._page_url(size, 0, None),
            "key": key,
            "next_page_url": next_token and self._page_url(size, number + 1, next_token),
            "page": number,
            "page_size": size,
            "previous_page_url": previous_token
            and self._page_url(size, max(0, number - 1), previous_token),
            "url": self._page_url(size, number, token),
        }
        return Response(200, {key: [render(self, item) for item in page.items], "meta": meta})

    def _page_url(self, size: int, number: int, token: str | None) -> str:
        pairs = [(name, value) for name, value in self.query.pairs if name not in PAGING]
        pairs += [("PageSize", str(size)), ("Page", str(number))]
        pairs += [("PageToken", token)] if token else []
        return f"{self.base_url}{self.path}?{urlencode(pairs)}"
