"""Executes a plan, and checks that TaskRouter stored the values that were sent."""

from collections.abc import Callable
from typing import Any

from requests import RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException

from infra import OperatorError
from infra.workspace.http import MAX_ATTEMPTS
from infra.workspace.kinds import TASK_CHANNEL, WORKER, WORKSPACE, Kind
from infra.workspace.plan import Action, Change, Plan
from infra.workspace.state import PAGE_SIZE, read_one
from infra.workspace.values import are_equal, live, parameters
from taskrouter_simulator.definition.configuration import Directory

_BAD_REQUEST = 400
_FORBIDDEN = 403
_NOT_FOUND = 404
_SERVER_ERROR = 500
_EXPLAINED_BY_ACCOUNT = (401, 429)
"""Error statuses that do not depend on the change. `Account.call` reports the remedy."""


def refuse_impossible(plan: Plan, *, force: bool) -> None:
    """Check that a plan can and may be executed.

    Args:
        plan: The plan.
        force: Whether the plan may delete any number of resources.

    Raises:
        OperatorError: TaskRouter does not allow a change, or the plan deletes too many resources.
    """
    if impossible := plan.of(Action.REPLACE):
        change = impossible[0]
        raise OperatorError(
            f"Nothing was changed. {change.title} cannot be changed as planned: {change.note}."
        )
    if (excessive := plan.excessive_deletions) and not force:
        raise OperatorError(
            "Nothing was changed. The plan deletes more than 30% of the resources of a kind: "
            f"{', '.join(excessive)}. If that is intended, add --force."
        )


def refuse_unplanned(plan: Plan, confirmed: Plan) -> None:
    """Check that the plan for a newly created Workspace contains only confirmed changes.

    Args:
        plan: The plan for the new Workspace.
        confirmed: The plan that the operator has confirmed, which creates the Workspace.

    Raises:
        OperatorError: The plan contains a change that the operator has not confirmed.
    """
    known = {
        (change.action, change.kind, change.name): change.after for change in confirmed.changes
    }
    # The operator has also confirmed the update that sets the Workspace's Activities. The creation
    # cannot set them, because they do not exist yet.
    known[Action.UPDATE, WORKSPACE, confirmed.workspace] = confirmed.changes[0].after
    unplanned = [
        f"{change.action} {change.title}"
        for change in plan.changes
        if (values := known.get((change.action, change.kind, change.name))) is None
        or not change.after.items() <= values.items()
    ]
    if unplanned:
        raise OperatorError(
            "The Workspace was created. Nothing else was changed, because the new Workspace needs "
            f"changes that are not in the plan: {', '.join(unplanned)}. Make a new plan and apply "
            "it."
        )


def apply(plan: Plan, context: Any, report: Callable[[Change], None]) -> dict[tuple[str, str], str]:
    """Execute a plan for an existing Workspace.

    Args:
        plan: The plan.
        context: The SDK's context for the Workspace.
        report: Called after each change.

    Returns:
        The SIDs by kind and name, including those of new resources.

    Raises:
        OperatorError: TaskRouter refused a change, or stored a different value.
    """
    sids = dict(plan.directory.sids)
    for change in plan.changes:
        directory = Directory(sids)
        try:
            if change.action is Action.DELETE:
                _delete(context, change)
                # If two deleted resources had the same name, the entry is already gone.
                sids.pop((change.kind.key, change.name), None)
            else:
                sid = change.sid or _create(context, change, directory)
                sids[change.kind.key, change.name] = sid
                _update(context, change, sid, directory)
                _verify(context, change, sid, Directory(sids))
        except TwilioRestException as error:
            is_refused = _BAD_REQUEST <= error.status < _SERVER_ERROR
            if not is_refused or error.status in _EXPLAINED_BY_ACCOUNT:
                raise
            is_forbidden = error.status == _FORBIDDEN
            hint = ". The API key may lack the permission to write" if is_forbidden else ""
            raise OperatorError(
                f"{change.title}: TaskRouter refused to {change.action} it: {error.msg}{hint}"
            ) from error
        report(change)
    return sids


def _resources(context: Any, kind: Kind) -> Any:
    return getattr(context, kind.section)


def _delete(context: Any, change: Change) -> None:
    try:
        _resources(context, change.kind)(change.sid).delete()
    except TwilioRestException as error:
        if error.status != _NOT_FOUND:  # an earlier attempt may have succeeded without a response
            raise


def _create(context: Any, change: Change, directory: Directory) -> str:
    """Create a resource, and return its SID."""
    values = parameters(change.after, directory)
    if change.kind is TASK_CHANNEL:
        values["unique_name"] = change.name
    resources = _resources(context, change.kind)
    return create_once(
        lambda: str(resources.create(**values).sid),
        lambda: _find(resources, change.kind, change.name),
    )


def create_once(create: Callable[[], str], find: Callable[[], str | None]) -> str:
    """Create a resource, and return its SID.

    After a server error or a lost response, the request is repeated only if the resource does not
    exist.

    Args:
        create: Sends the request and returns the SID of the new resource.
        find: Returns the SID of the resource, or None.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return create()
        except (RequestException, TwilioException) as error:
            status = getattr(error, "status", None)
            was_refused = status is not None and status < _SERVER_ERROR
            if was_refused or attempt == MAX_ATTEMPTS:
                raise
            if sid := find():
                return sid
    raise AssertionError  # the last attempt has returned or raised


def _find(resources: Any, kind: Kind, name: str) -> str | None:
    """Return the SID of the resource with this name, or None."""
    # TaskChannels cannot be selected by name.
    selection = {} if kind is TASK_CHANNEL else {"friendly_name": name}
    for resource in resources.list(page_size=PAGE_SIZE, **selection):
        if kind.fold(getattr(resource, kind.identifier)) == kind.fold(name):
            return str(resource.sid)
    return None


def _update(context: Any, change: Change, sid: str, directory: Directory) -> None:
    """Update a resource; a new resource already has its values, except for capacities."""
    if change.kind is WORKSPACE:
        context.update(**parameters(change.after, directory))
    elif change.sid and (values := parameters(change.after, directory)):
        _resources(context, change.kind)(sid).update(**values)
    if change.kind is WORKER:
        old_capacities = change.before.get("capacity") or {}
        for name, capacity in (change.after.get("capacity") or {}).items():
            if old_capacities.get(name) != capacity:
                context.workers(sid).worker_channels(name).update(capacity=capacity)


def _verify(context: Any, change: Change, sid: str, directory: Directory) -> None:
    """Read a resource again, and check the values that were sent.

    Raises:
        OperatorError: TaskRouter stored a different value.
    """
    values = live(change.kind, read_one(context, change.kind, sid).raw, directory)
    wrong = [
        name
        for name, value in change.after.items()
        if name in values and not are_equal(name, values[name], value)
    ]
    if wrong:
        raise OperatorError(
            f"{change.title}: TaskRouter did not store {', '.join(wrong)}. Run the command again, "
            "and compare the plan with Twilio's Console."
        )
