"""Create a Task at most once per idempotency key, even if a response is lost.

The key is acquired under a lease before the Task is created. For a day, the record of the key
stores the response and a random marker. The marker is also an attribute of the Task. After a lost
response or a crash, the service searches TaskRouter for a Task with this marker before it creates
a Task. docs/adr/0024 explains why callers can neither choose nor guess the marker.
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
    OutcomeUnknown,
    StoreUnavailable,
    TaskRouterError,
    TaskRouterNotProcessed,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    TaskUnidentified,
)
from chalicelib.domain.json_text import parse_json_object, to_json
from chalicelib.domain.tasks import (
    MAX_ATTRIBUTES_LENGTH,
    CreatedTask,
    IdempotencyRecord,
    NewTask,
    has_attribute,
    matches_request,
)
from chalicelib.usecases.deadlines import LATEST_REQUEST_MS, require_time
from chalicelib.usecases.ports import Clock, IdempotencyStore, TaskRouter

KEY_ATTRIBUTE = "idempotency_key"
"""The Task attribute that contains the key, so that people can find the Task."""

MARKER_ATTRIBUTE = "idempotency_marker"
"""The Task attribute that contains the marker, which the service uses to find the Task."""

_KEY_PATTERN = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class TaskCollaborators:
    """The services that `create_task` uses.

    Attributes:
        keys: the idempotency keys of the last day.
        taskrouter: creates the Tasks.
        clock: the system time.
        lease_seconds: duration of a lease, during which only a key's owner calls TaskRouter.
        new_id: returns a new owner ID on each call.
    """

    keys: IdempotencyStore
    taskrouter: TaskRouter
    clock: Clock
    lease_seconds: int
    new_id: Callable[[], str]


def create_task(
    task: NewTask,
    collaborators: TaskCollaborators,
    *,
    caller: str,
    idempotency_key: str | None = None,
) -> CreatedTask:
    """Create a Task, or return the Task that the caller created earlier with the same key.

    Args:
        task: the Task to create. The key and a marker are added to its attributes.
        collaborators: the services to use.
        caller: the name of the caller. Different callers may use the same key.
        idempotency_key: 1 to 128 characters (letters, digits and ``_ . : -``), or None to create
            a Task on every call.

    Raises:
        BadRequest: the key is invalid, an attribute is reserved for the service, or the attributes
            are too long after the key and the marker are added.
        KeyReused: the key was used for a different Task.
        OutcomeUnknown: whether the Task was created is not known yet. Retry with the same key.
        TaskUnidentified: it can't be determined which Task, if any, was created for the key.
        TaskRouterError: TaskRouter created no Task. Without a key, TaskRouterUnavailable means
            that a Task may have been created, unless the error is a TaskRouterNotProcessed.
        StoreUnavailable: DynamoDB failed before this request asked TaskRouter to create a Task.
    """
    _check_key_and_attributes(task, idempotency_key)
    if idempotency_key is None:
        return collaborators.taskrouter.create_task(task)
    task = _with_attribute(task, KEY_ATTRIBUTE, idempotency_key)
    fingerprint = hashlib.sha256(json.dumps(asdict(task)).encode()).hexdigest()
    owner = collaborators.new_id()
    _check_length(_with_attribute(task, MARKER_ATTRIBUTE, owner))
    clock, keys = collaborators.clock, collaborators.keys
    started = clock.now_ms()
    unscoped = keys.get_unscoped(idempotency_key, now=started)
    if unscoped and unscoped.fingerprint == fingerprint:
        return _earlier_response(unscoped, now=clock.now_ms())
    key = f"{caller} {idempotency_key}"
    while True:
        now = clock.now_ms()
        until = now + collaborators.lease_seconds * 1000
        record = keys.acquire(key, fingerprint, owner=owner, now=now, until=until)
        if record.fingerprint != fingerprint:
            raise KeyReused("This Idempotency-Key was used for another Task. Use a new key.")
        if record.response is not None:
            return CreatedTask(**record.response)
        marked_task = _with_attribute(task, MARKER_ATTRIBUTE, record.marker)
        attempt = _Attempt(key, marked_task, owner, record, collaborators, started)
        if record.owner == owner:
            return attempt.create()
        if record.until <= now:
            return attempt.take_over()
        if now >= started + LATEST_REQUEST_MS:
            raise attempt.outcome_unknown()
        clock.sleep(_POLL_SECONDS)


def _check_key_and_attributes(task: NewTask, key: str | None) -> None:
    """Raise BadRequest if the key is malformed or the Task sets a reserved attribute."""
    if key is not None and not _KEY_PATTERN.fullmatch(key):
        raise BadRequest(
            "Idempotency-Key must have 1 to 128 characters: letters, digits, and _ . : -"
        )
    attributes = parse_json_object(task.attributes)
    if MARKER_ATTRIBUTE in attributes:
        raise BadRequest(
            f"The attribute {MARKER_ATTRIBUTE} is reserved for the service. Remove it."
        )
    if attributes.get(KEY_ATTRIBUTE, key) != key:
        raise BadRequest(
            f"The attribute {KEY_ATTRIBUTE} must equal the Idempotency-Key header, or be absent."
        )


def _with_attribute(task: NewTask, name: str, value: str) -> NewTask:
    text = to_json({**parse_json_object(task.attributes), name: value})
    return replace(task, attributes=text)


def _check_length(task: NewTask) -> None:
    """Raise BadRequest if the Task's attributes are too long."""
    length = len(task.attributes)
    if length > MAX_ATTRIBUTES_LENGTH:
        raise BadRequest(
            f"The attributes have {length} characters, including {KEY_ATTRIBUTE} and "
            f"{MARKER_ATTRIBUTE}. The maximum is {MAX_ATTRIBUTES_LENGTH}."
        )


def _earlier_response(record: IdempotencyRecord, *, now: int) -> CreatedTask:
    """Return the response to a request that was made before keys were scoped to callers."""
    if record.response is not None:
        return CreatedTask(**record.response)
    message = "It is not known whether an earlier version of the service created the Task."
    if record.until > now:
        raise OutcomeUnknown.until(record.until, now=now, message=message)
    raise TaskUnidentified(
        f"{message} Search TaskRouter for a Task with this {KEY_ATTRIBUTE} before you use another "
        "key."
    )


@dataclass(frozen=True)
class _Attempt:
    """One request's attempt to create the Task for a key.

    Attributes:
        key: the idempotency key, preceded by the name of its caller.
        task: the Task to create.
        owner: identifies this request.
        record: the key's record, with the current lease.
        collaborators: the services to use.
        started: epoch ms at which the request started.
    """

    key: str
    task: NewTask
    owner: str
    record: IdempotencyRecord
    collaborators: TaskCollaborators
    started: int

    def create(self) -> CreatedTask:
        """Create the Task as the owner of the key."""
        try:
            self._require_time()
            created = self.collaborators.taskrouter.create_task(self.task)
            if not has_attribute(created, MARKER_ATTRIBUTE, self.record.marker):
                raise TaskRouterUnavailable("TaskRouter returned a different Task.")
        except TaskRouterNotProcessed as error:
            self._release_key(error)
            raise
        except TaskRouterUnavailable as error:
            found = None
            with suppress(TaskRouterError, StoreUnavailable):
                found = self.find()
            if found is None:
                # TaskRouter may still create the Task. Keeping the lease prevents a second Task.
                raise self.outcome_unknown(error) from error
            return self.save(found)
        except TaskRouterError as error:
            # No Task was created, so a corrected request may use the key.
            self._release_key(error)
            raise
        return self.save(created)

    def take_over(self) -> CreatedTask:
        """Continue an earlier attempt whose lease expired before a response was saved."""
        now = self.collaborators.clock.now_ms()
        until = now + self.collaborators.lease_seconds * 1000
        is_taken_over = self.collaborators.keys.take_over(
            self.key, owner=self.owner, expired_at=self.record.until, until=until
        )
        # If another request took over the key first, its lease expires at about *until*, so a retry
        # can succeed after that time.
        attempt = replace(self, record=replace(self.record, until=until))
        if not is_taken_over:
            raise attempt.outcome_unknown()
        try:
            found = attempt.find()
        except TaskRouterError as error:
            try:
                self.collaborators.keys.expire_lease(self.key, owner=self.owner, now=now)
            except StoreUnavailable:
                raise attempt.outcome_unknown(error) from error
            raise self.outcome_unknown(error) from error
        return attempt.create() if found is None else attempt.save(found)

    def outcome_unknown(self, failure: TaskRouterError | None = None) -> OutcomeUnknown:
        """Build the error for an unknown outcome. A retry can succeed after the lease expires."""
        return OutcomeUnknown.until(
            self.record.until,
            now=self.collaborators.clock.now_ms(),
            failure=failure,
            message="It is not yet known whether the Task was created. Use the same key again.",
        )

    def find(self) -> CreatedTask | None:
        """Search TaskRouter for the Task that has the marker.

        Raises:
            TaskUnidentified: a Task has the marker, but is not the requested Task. Someone has
                changed the Task, or has copied the marker to another Task.
        """
        now = self.collaborators.clock.now_ms()
        if not self.collaborators.keys.consume_search_budget(now=now):
            raise TaskRouterThrottled("TaskRouter allows 3 searches per second.", retry_after=1)
        self._require_time()
        found = self.collaborators.taskrouter.find_tasks(MARKER_ATTRIBUTE, self.record.marker)
        for candidate in found:
            if matches_request(candidate, self.task):
                return candidate.task
        if found:
            # The Task was created, so other requests need not wait for the lease to expire.
            with suppress(StoreUnavailable):
                self.collaborators.keys.expire_lease(self.key, owner=self.owner, now=now)
            raise TaskUnidentified(
                f"The Task with the {MARKER_ATTRIBUTE} of this Idempotency-Key differs from the "
                "request. Look for the Task in TaskRouter before you use another key."
            )
        return None

    def _require_time(self) -> None:
        require_time(now=self.collaborators.clock.now_ms(), started=self.started)

    def _release_key(self, failure: TaskRouterError) -> None:
        """Release the key, because no Task was created.

        If the write fails, a retry can succeed only after the lease expires.
        """
        now = self.collaborators.clock.now_ms()
        try:
            self.collaborators.keys.release(self.key, owner=self.owner, now=now)
        except StoreUnavailable:
            if failure.retry_after:
                failure.retry_after = self.outcome_unknown(failure).retry_after

    def save(self, created: CreatedTask) -> CreatedTask:
        """Store the created Task as the response for the key, and return the Task.

        If the write fails, the lease expires, and a retry finds the Task by its marker.
        """
        with suppress(StoreUnavailable):
            self.collaborators.keys.save_response(self.key, asdict(created), owner=self.owner)
        return created
