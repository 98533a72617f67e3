"""Create a Task once per Idempotency-Key, even if the first answer was lost.

A key is taken, under a lease, before TaskRouter is asked, and keeps the answer for a day. It is
also set on the Task as an attribute: where nobody knows whether a Task was created (the answer was
lost, or the one who asked died), TaskRouter is asked for a Task with that attribute first.
"""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from chalicelib.domain.errors import (
    BadRequest,
    KeyReused,
    StoreUnavailable,
    TaskRouterError,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.json_text import parse_json_object
from chalicelib.domain.tasks import (
    MAX_ATTRIBUTES_LENGTH,
    CreatedTask,
    IdempotencyRecord,
    NewTask,
    compact_json,
)
from chalicelib.usecases.ports import Clock, IdempotencyStore, TaskRouter

ATTRIBUTE = "idempotency_key"
"""The Task attribute that holds the key."""

_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_WAIT_MS = 3_000
_POLL_SECONDS = 0.1
_CLOCKS_DIFFER_MS = 60_000
"""A Task with the key of yesterday's request is not ours; Twilio's clock need not be ours."""


@dataclass(frozen=True)
class Once:
    """The collaborators of creating once.

    Attributes:
        keys: the keys that were used within a day.
        taskrouter: where Tasks are created.
        clock: the time.
        lease_seconds: for how long a taken key keeps others from asking TaskRouter.
        new_id: makes an owner's id at each call.
    """

    keys: IdempotencyStore
    taskrouter: TaskRouter
    clock: Clock
    lease_seconds: int
    new_id: Callable[[], str]


@dataclass(frozen=True)
class _Attempt:
    """One caller's attempt."""

    key: str
    task: NewTask
    fingerprint: str
    owner: str


def create_once(key: str, task: NewTask, once: Once) -> CreatedTask:
    """Create *task*, unless that was done under *key* already.

    Args:
        key: 1 to 128 letters, digits and ``_ . : -``.
        task: what to create; its attributes gain the key.
        once: the collaborators.

    Returns:
        The Task that was created now, or under the same key before.

    Raises:
        BadRequest: the key, or the attributes with it, are not what they should be.
        KeyReused: another Task was asked for under this key.
        Unsettled: whether the Task was created is not known yet; the same key may be tried again.
        TaskRouterError: TaskRouter refused, and created nothing.
        StoreUnavailable: DynamoDB failed, and nothing was asked.
    """
    attempt = _attempt(key, task, once)
    deadline = once.clock.now_ms() + _WAIT_MS
    while True:
        now = once.clock.now_ms()
        until = now + once.lease_seconds * 1000
        use = once.keys.take(key, attempt.fingerprint, owner=attempt.owner, now=now, until=until)
        if use.fingerprint != attempt.fingerprint:
            raise KeyReused("This Idempotency-Key was used for another Task; use a new one.")
        if use.answer is not None:
            return CreatedTask(**use.answer)
        if use.owner == attempt.owner:
            return _create(attempt, use, once)
        if use.until <= now:
            return _take_over(attempt, use, once)
        if now >= deadline:
            raise _unsettled()
        once.clock.sleep(_POLL_SECONDS)


def _attempt(key: str, task: NewTask, once: Once) -> _Attempt:
    if not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 128 letters, digits, or any of _ . : -")
    attributes = parse_json_object(task.attributes)
    if attributes.setdefault(ATTRIBUTE, key) != key:
        raise BadRequest(f"attributes may not hold another {ATTRIBUTE} than the header.")
    text = compact_json(attributes)
    if len(text) > MAX_ATTRIBUTES_LENGTH:
        raise BadRequest(
            f"attributes with the {ATTRIBUTE} are over {MAX_ATTRIBUTES_LENGTH} characters."
        )
    keyed = replace(task, attributes=text)
    fingerprint = hashlib.sha256(json.dumps(asdict(keyed)).encode()).hexdigest()
    return _Attempt(key, keyed, fingerprint, once.new_id())


def _create(attempt: _Attempt, use: IdempotencyRecord, once: Once) -> CreatedTask:
    try:
        created = once.taskrouter.create_task(attempt.task)
    except TaskRouterUnavailable as error:
        if isinstance(error, TaskRouterThrottled):
            _free(attempt, once)
            raise
        return _find_after(error, attempt, use, once)
    except TaskRouterError:
        # Nothing was created, so the key is free for a request that is right.
        _free(attempt, once)
        raise
    return _kept(created, attempt, once)


def _find_after(
    failure: TaskRouterUnavailable, attempt: _Attempt, use: IdempotencyRecord, once: Once
) -> CreatedTask:
    """Ask once for the Task whose creation was never answered; it may still be under way."""
    try:
        found = _find(attempt, use, once)
    except (TaskRouterError, StoreUnavailable):
        found = None
    if found is None:
        # The lease stays: nobody may create another before this one has surely come to its end.
        raise _unsettled() from failure
    return _kept(found, attempt, once)


def _take_over(attempt: _Attempt, use: IdempotencyRecord, once: Once) -> CreatedTask:
    """Go on where an earlier attempt ended without saying how."""
    now = once.clock.now_ms()
    until = now + once.lease_seconds * 1000
    if not once.keys.take_over(attempt.key, owner=attempt.owner, lapsed=use.until, until=until):
        raise _unsettled()
    try:
        found = _find(attempt, use, once)
    except TaskRouterError as error:
        once.keys.give_back(attempt.key, owner=attempt.owner, now=now)
        raise _unsettled() from error
    return _create(attempt, use, once) if found is None else _kept(found, attempt, once)


def _find(attempt: _Attempt, use: IdempotencyRecord, once: Once) -> CreatedTask | None:
    if not once.keys.may_search(now=once.clock.now_ms()):
        raise TaskRouterThrottled("TaskRouter takes 3 such questions a second; try again.")
    since = use.taken_at - _CLOCKS_DIFFER_MS
    found = once.taskrouter.find_task(ATTRIBUTE, attempt.key, since=since)
    # A list of Tasks does not tell their attributes.
    return found and replace(found, attributes=attempt.task.attributes)


def _free(attempt: _Attempt, once: Once) -> None:
    """Nothing was created, so let the key be used anew; where that fails, its lease lapses."""
    with suppress(StoreUnavailable):
        once.keys.free(attempt.key, owner=attempt.owner, now=once.clock.now_ms())


def _kept(created: CreatedTask, attempt: _Attempt, once: Once) -> CreatedTask:
    # Where the answer can't be kept the lease lapses, and a retry finds the Task by its attribute.
    with suppress(StoreUnavailable):
        once.keys.keep(attempt.key, asdict(created), owner=attempt.owner)
    return created


def _unsettled() -> Unsettled:
    return Unsettled("Whether the Task was created is not known yet; send the same key again.")
