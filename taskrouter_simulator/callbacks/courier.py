"""Delivers a signed form: within its limit, as often as the URL's fragment says, into the log."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from taskrouter_simulator.callbacks import overrides
from taskrouter_simulator.callbacks.answers import Reply
from taskrouter_simulator.callbacks.signature import Keys
from taskrouter_simulator.callbacks.transport import Transport
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.settings import Settings

_FORM = "application/x-www-form-urlencoded; charset=utf-8"
ONCE = overrides.Overrides(retries=0)


@dataclass(frozen=True)
class Delivery:
    """One form to post: `kind` as the log names it, `seconds` the limit on the whole.

    `token` goes into I-Twilio-Idempotency-Token, the same for every attempt. `plain` leaves what
    the URL's fragment says unheeded, and posts once.
    """

    kind: str
    url: str
    parameters: dict[str, str]
    seconds: float
    token: str
    fault: Fault | None = None
    plain: bool = False


class Courier:
    """Posts, and notes each attempt.

    Args:
        keys: sign.
        record: notes an attempt in the log.
    """

    def __init__(self, keys: Keys, record: Callable[..., None]) -> None:
        self._keys = keys
        self._record = record
        self._transport = Transport()

    async def open(self) -> None:
        """Make ready to post; needs a running loop."""
        await self._transport.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def deliver(self, settings: Settings, delivery: Delivery) -> Reply:
        """Post, as often as the connection overrides say; whatever goes wrong is in the reply."""
        url, connection = overrides.read(delivery.url)
        connection = ONCE if delivery.plain else connection
        ends = time.monotonic() + min(delivery.seconds, connection.total)
        for attempt in range(1, connection.retries + 2):
            began = time.monotonic()
            headers = self._headers(settings, delivery, url)
            left = max(0.0, ends - began)
            reply = await self._post(delivery, url, headers, connection, left)
            self._note(delivery, headers, reply, attempt, time.monotonic() - began)
            if not connection.retries_on(reply) or time.monotonic() >= ends:
                break
        return reply

    def _headers(self, settings: Settings, delivery: Delivery, url: str) -> dict[str, str]:
        token = {"I-Twilio-Idempotency-Token": delivery.token}
        return {
            "Content-Type": _FORM,
            "User-Agent": settings.user_agent,
            "Accept": "*/*",
            **(token if settings.idempotency_token else {}),
            **self._keys.headers(settings, url, delivery.parameters),
        }

    async def _post(
        self,
        delivery: Delivery,
        url: str,
        headers: dict[str, str],
        connection: overrides.Overrides,
        seconds: float,
    ) -> Reply:
        """Post once, or have the connection cut where a fault says so."""
        cut = delivery.fault.moment if delivery.fault and delivery.fault.kind == "cut" else ""
        if cut == "before":
            return Reply(error="cut before it was sent, as told", failure="ct")
        reply = await self._transport.post(url, delivery.parameters, headers, connection, seconds)
        if cut == "after" and not reply.error:
            return Reply(error="cut before the answer came, as told", failure="cut")
        return reply

    def _note(
        self,
        delivery: Delivery,
        headers: dict[str, str],
        reply: Reply,
        attempt: int,
        seconds: float,
    ) -> None:
        self._record(
            delivery.kind,
            url=delivery.url,
            attempt=attempt,
            headers=headers,
            parameters=delivery.parameters,
            status=reply.status,
            content_type=reply.content_type,
            answer=reply.body.decode("utf-8", errors="replace"),
            error=reply.error,
            seconds=round(seconds, 4),
            fault=delivery.fault.kind if delivery.fault else None,
        )
