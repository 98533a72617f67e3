"""One REST call as a handler sees it, and the answers that it can give."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest, NotFound, PreconditionFailed, Refusal
from taskrouter_simulator.engine.model import Resource, Workspace
from taskrouter_simulator.rest.forms import Form

Kind = TypeVar("Kind", bound=Resource)

_ABSOLUTE_PAGING = 40153


@dataclass(frozen=True)
class Answer:
    """What goes back: a JSON body or none, and the ETag where Twilio gives one.

    `retry_after` is in seconds, `kind` the body's media type.
    """

    status: int
    body: Any = None
    etag: str | None = None
    retry_after: int | None = None
    kind: str = "application/json"


@dataclass(frozen=True)
class Call:
    """A request that passed authentication.

    `base` is scheme, host and port; `path` begins with /v1; `ids` are the SIDs in the path.
    """

    engine: Engine
    base: str
    path: str
    ids: Mapping[str, str]
    form: Form
    query: Form
    if_match: str | None = None

    @property
    def workspace(self) -> Workspace:
        """The Workspace of the path."""
        return self.find(self.engine.workspaces, "workspace")

    def find(self, resources: Mapping[str, Kind], name: str) -> Kind:
        """The resource whose SID the path has under that name.

        Raises:
            NotFound: there is none; the message shows the path without /v1, as Twilio's does.
        """
        found = resources.get(self.ids[name])
        if found is None:
            raise NotFound(self.path.removeprefix("/v1"))
        return found

    def url(self, *parts: str) -> str:
        """The absolute URL of a resource."""
        return "/".join((f"{self.base}/v1/Workspaces", *parts))

    def require_match(self, resource: Resource) -> None:
        """Hold an If-Match header against the resource's version.

        Raises:
            PreconditionFailed: it names another version.
        """
        if self.if_match is None or self.if_match.strip() == "*":
            return
        if self.if_match.strip().removeprefix("W/").strip('"') != str(resource.version):
            raise PreconditionFailed(f"ETag {self.if_match} does not match")

    def etag(self, resource: Resource) -> str:
        """A resource's version as an ETag."""
        return (
            f'"{resource.version}"' if self.engine.settings.etag_quoted else str(resource.version)
        )

    def page(
        self,
        key: str,
        resources: Iterable[Kind],
        render: Callable[[Kind], dict[str, Any]],
        *,
        keep: Callable[[Kind], bool] = lambda _resource: True,
        sort: Callable[[Kind], Any] = lambda resource: resource.sequence,
    ) -> Answer:
        """One page of a list, in Twilio's envelope.

        A page begins behind the resource that the token names, so what is created or changes
        meanwhile shifts nothing.

        Args:
            key: the list's name in the envelope.
            resources: all of them.
            render: makes one item.
            keep: which of them the query asks for.
            sort: the order; by default that of creation.

        Raises:
            BadRequest: a page size, or a token, that cannot be.
        """
        size = self.query.integer("PageSize", 1, 1000) or 50
        number = self.query.integer("Page", 0, 10**6) or 0
        token = self.query.text("PageToken")
        if number and not token:
            raise BadRequest("Absolute paging is not supported, use PageToken", _ABSOLUTE_PAGING)
        ordered = sorted(resources, key=sort)
        rest = [one for one in ordered[_start(ordered, token) :] if keep(one)]
        shown = rest[:size]
        following = f"PA{shown[-1].sid}" if len(rest) > size else None
        body = {
            key: [render(one) for one in shown],
            "meta": {
                "first_page_url": self._page_url(size, 0, None),
                "key": key,
                "next_page_url": self._page_url(size, number + 1, following) if following else None,
                "page": number,
                "page_size": size,
                "previous_page_url": None,
                "url": self._page_url(size, number, token),
            },
        }
        return Answer(200, body)

    def _page_url(self, size: int, number: int, token: str | None) -> str:
        paging = {"PageSize", "Page", "PageToken"}
        pairs = [(name, value) for name, value in self.query.pairs if name not in paging]
        pairs += [("PageSize", str(size)), ("Page", str(number))]
        pairs += [("PageToken", token)] if token else []
        return f"{self.base}{self.path}?{urlencode(pairs)}"


def refused(refusal: Refusal, *, problem: bool, retry_after: int | None = None) -> Answer:
    """The answer of an error.

    Args:
        refusal: what is wrong.
        problem: whether the body is an RFC 9457 problem document, else it is Twilio's older one.
        retry_after: seconds in the Retry-After header.
    """
    page = f"https://www.twilio.com/docs/errors/{refusal.code}"
    body: dict[str, Any] = {"code": refusal.code, "status": refusal.status}
    if problem:
        body |= {"type": page, "title": refusal.message}
        return Answer(refusal.status, body, None, retry_after, "application/problem+json")
    body |= {"message": refusal.message, "more_info": page}
    return Answer(refusal.status, body, None, retry_after)


def _start(ordered: Sequence[Resource], token: str | None) -> int:
    if not token:
        return 0
    for index, resource in enumerate(ordered, 1):
        if token == f"PA{resource.sid}":
            return index
    raise BadRequest("PageToken is not valid any more")
