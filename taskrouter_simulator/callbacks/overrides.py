"""Connection overrides: settings in a callback URL's fragment, never sent and never signed.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides: `ct`, `rt`, `tt` in
milliseconds, `rc` retries, `rp` when to retry. A value out of its range is passed over. `sni` and
`e` (edge) mean nothing on loopback.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs, urldefrag

from taskrouter_simulator.callbacks.answers import Reply


@dataclass(frozen=True)
class Overrides:
    """How a callback is connected. Times in seconds."""

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})

    def retries_on(self, reply: Reply) -> bool:
        """Whether the policy covers what went wrong with the reply."""
        wrong = reply.failure
        if reply.status is not None and 400 <= reply.status < 600:  # noqa: PLR2004 - HTTP's own
            wrong = f"{reply.status // 100}xx"
        return wrong in self.policy or (bool(wrong) and "all" in self.policy)


def read(url: str) -> tuple[str, Overrides]:
    """A URL without its fragment, and what the fragment says."""
    bare, fragment = urldefrag(url)
    given = {name: values[-1] for name, values in parse_qs(fragment).items()}
    default = Overrides()
    policy = frozenset(given.get("rp", "").split(",")) & {"4xx", "5xx", "ct", "rt", "all"}
    return bare, Overrides(
        connect=_within(given.get("ct"), 100, 10_000, default.connect * 1000) / 1000,
        read=_within(given.get("rt"), 100, 15_000, default.read * 1000) / 1000,
        total=_within(given.get("tt"), 100, 15_000, default.total * 1000) / 1000,
        retries=int(_within(given.get("rc"), 0, 5, default.retries)),
        policy=policy or default.policy,
    )


def _within(text: str | None, least: int, most: int, default: float) -> float:
    if text is None or not text.isdecimal() or not text.isascii() or len(text) > len(str(most)):
        return default
    return int(text) if least <= int(text) <= most else default
