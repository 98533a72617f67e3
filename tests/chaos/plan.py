"""What is to happen, all of it from a seed: the number of a Reservation decides its fate.

How processes interleave is not the seed's to say, so two runs of one seed are alike, not equal.
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar


class Decision(StrEnum):
    """What the people do with a Reservation."""

    ACCEPT = "accept"
    ACCEPT_TWICE = "accept twice at once"
    ACCEPT_AND_REJECT = "accept and reject at once"
    ACCEPT_AT_TASKROUTER = "accept at TaskRouter"
    REJECT = "reject"
    IGNORE = "let time out"
    CANCEL = "cancel the Task"


class Finish(StrEnum):
    """How an accepted one ends."""

    COMPLETE = "complete"
    COMPLETE_AT_TASKROUTER = "complete at TaskRouter"
    WRAP_AND_COMPLETE = "wrap up, then complete"


class Trouble(StrEnum):
    """What goes wrong with whole programs."""

    API_KILLED = "the API is killed"
    SWEEP_KILLED = "the sweep is killed"
    API_FROZEN = "the API stands still"
    DATABASE_AWAY = "DynamoDB is away"
    TASKROUTER_AWAY = "TaskRouter is away"


class Link(StrEnum):
    """The ways between the programs, each of which can go wrong."""

    CALLBACKS = "callbacks"
    REST = "TaskRouter's REST"
    DATABASE = "DynamoDB"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call.

    Attributes:
        link: on the way where.
        effect: "cut" (no answer), "answer" (another answer), "slow", "late" (no answer, and the
            call arrives later), "twice" (the caller gets the second answer), "lost" (as "cut", and
            every call that it fits).
        after: whether the call has taken effect by then.
        seconds: of "slow" and "late".
        answer: status and body of "answer".
        only: what the calls that it may strike are about, in the words of `chaos.link.subject`.
    """

    link: Link
    effect: str
    after: bool = False
    seconds: float = 0.0
    answer: tuple[int, str] = (500, "")
    only: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """What the report calls it."""
        words = [f"{self.link}:", self.only[0], self.effect]
        if self.effect == "answer":
            words.append(str(self.answer[0]))
        if self.effect in {"slow", "late"}:
            words.append(f"{self.seconds:g} s")
        if self.after:
            words.append("after the effect")
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Fate:
    """What becomes of one Reservation. Times are seconds."""

    decision: Decision
    after: float
    finish: Finish
    finish_after: float
    faults: tuple[Fault, ...]
    trouble: Trouble | None


_DECISIONS = {
    Decision.ACCEPT: 42,
    Decision.ACCEPT_TWICE: 14,
    Decision.ACCEPT_AND_REJECT: 8,
    Decision.ACCEPT_AT_TASKROUTER: 6,
    Decision.REJECT: 14,
    Decision.IGNORE: 12,
    Decision.CANCEL: 4,
}
_FINISHES = {
    Finish.COMPLETE: 60,
    Finish.COMPLETE_AT_TASKROUTER: 25,
    Finish.WRAP_AND_COMPLETE: 15,
}
_TROUBLES = {
    Trouble.API_KILLED: 8,
    Trouble.SWEEP_KILLED: 3,
    Trouble.API_FROZEN: 2,
    Trouble.DATABASE_AWAY: 3,
    Trouble.TASKROUTER_AWAY: 2,
}
_TROUBLES_AMONG_FAULTS = 0.35

_TOLD_AT_FIRST = ("assignment", "fallback", "event reservation.created")
_THROTTLED_BY_TASKROUTER = (429, '{"code": 20429, "message": "Too Many Requests", "status": 429}')
_FAILED_TASKROUTER = (500, '{"code": 20500, "message": "Internal Server Error", "status": 500}')
_THROTTLED_BY_DYNAMODB = (
    400,
    '{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}',
)
_FAILED_DYNAMODB = (500, '{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}')

_FAULTS = {
    Fault(Link.CALLBACKS, "lost", only=_TOLD_AT_FIRST): 6,
    Fault(Link.CALLBACKS, "cut", only=("assignment",)): 3,
    Fault(Link.CALLBACKS, "cut", after=True, only=("assignment",)): 5,
    Fault(Link.CALLBACKS, "late", seconds=2, only=("assignment",)): 5,
    Fault(Link.CALLBACKS, "slow", seconds=2, only=("assignment",)): 3,
    Fault(Link.CALLBACKS, "slow", seconds=2, after=True, only=("assignment",)): 3,
    Fault(Link.CALLBACKS, "twice", only=("assignment",)): 5,
    Fault(Link.CALLBACKS, "cut", only=("event",)): 5,
    Fault(Link.CALLBACKS, "late", seconds=3, only=("event",)): 5,
    Fault(Link.CALLBACKS, "twice", only=("event",)): 4,
    Fault(Link.REST, "cut"): 6,
    Fault(Link.REST, "cut", after=True): 9,
    Fault(Link.REST, "answer", answer=_THROTTLED_BY_TASKROUTER): 6,
    Fault(Link.REST, "answer", answer=_FAILED_TASKROUTER): 5,
    Fault(Link.REST, "answer", answer=_FAILED_TASKROUTER, after=True): 6,
    Fault(Link.REST, "slow", seconds=1.5): 3,
    Fault(Link.REST, "slow", seconds=9, after=True): 1,
    Fault(Link.REST, "late", seconds=2): 3,
    Fault(Link.REST, "twice"): 5,
    Fault(Link.DATABASE, "cut"): 5,
    Fault(Link.DATABASE, "cut", after=True): 6,
    Fault(Link.DATABASE, "answer", answer=_THROTTLED_BY_DYNAMODB): 5,
    Fault(Link.DATABASE, "answer", answer=_FAILED_DYNAMODB): 4,
    Fault(Link.DATABASE, "answer", answer=_FAILED_DYNAMODB, after=True): 4,
    Fault(Link.DATABASE, "slow", seconds=1): 3,
    Fault(Link.DATABASE, "slow", seconds=1, after=True): 3,
    Fault(Link.DATABASE, "late", seconds=2): 2,
    Fault(Link.DATABASE, "twice"): 4,
}
_CREATE_FAULTS = {
    fault: weight
    for fault, weight in _FAULTS.items()
    # What arrives twice is created twice, by TaskRouter; and no wait may outlast the lease.
    if fault.link is Link.REST and fault.effect != "twice" and fault.seconds < 4
}


@dataclass(frozen=True)
class Plan:
    """Everything that is to happen.

    Args:
        seed: where it all comes from.
        fault_rate: how many faults a Reservation meets on average.
    """

    seed: int
    fault_rate: float

    def fate(self, number: int) -> Fate:
        """The fate of the Reservation that is the *number*-th to be made."""
        dice = random.Random(f"{self.seed}/reservation/{number}")  # noqa: S311  not for secrets
        decision = _drawn(dice, _DECISIONS)
        after = dice.uniform(0, 1)
        finish = _drawn(dice, _FINISHES)
        finish_after = dice.uniform(0, 0.4)
        whole, part = divmod(self.fault_rate, 1)
        struck = int(whole) + (dice.random() < part)
        faults = tuple(_drawn(dice, _FAULTS) for _ in range(struck))
        trouble = None
        if struck and dice.random() < _TROUBLES_AMONG_FAULTS:
            faults, trouble = (), _drawn(dice, _TROUBLES)
        return Fate(decision, after, finish, finish_after, faults, trouble)

    def faults_of_task(self, number: int) -> tuple[Fault, ...]:
        """What goes wrong with creating the *number*-th Task."""
        dice = random.Random(f"{self.seed}/task/{number}")  # noqa: S311  not for secrets
        return (_drawn(dice, _CREATE_FAULTS),) if dice.random() < self.fault_rate / 4 else ()


_Thing = TypeVar("_Thing")


def _drawn(dice: random.Random, weights: dict[_Thing, int]) -> _Thing:
    (one,) = dice.choices(list(weights), list(weights.values()))
    return one
