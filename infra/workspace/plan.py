"""Compares a definition with a live Workspace, and plans the changes that `apply` executes."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra import OperatorError
from infra.workspace.kinds import (
    ACTIVITIES,
    ACTIVITY,
    BY_KEY,
    IN_ORDER,
    RESOURCES,
    TASK_CHANNEL,
    WORKFLOW,
    WORKSPACE,
    Kind,
)
from infra.workspace.state import Resource, State, is_built_in
from infra.workspace.values import (
    Values,
    are_equal,
    canonical_text,
    declared,
    live,
    managed_part,
    references,
    uses_api,
)
from taskrouter_simulator.definition.configuration import Directory
from taskrouter_simulator.definition.model import Unmanaged, WorkspaceDefinition, managed

MAX_DELETED_SHARE = 0.3
"""Maximum share of the resources of a kind that a plan may delete without `--force`."""
_REPLACE_ACTIVITY = (
    "TaskRouter does not allow `available` to change. Rename the Activity, set `was` to its old "
    "name, and apply. Then remove `was`, add a new Activity with the old name, and apply again. "
    "Workers stay in the renamed Activity until they switch to another Activity"
)
_CLEAR_ACTIVITY = (
    "TaskRouter does not allow a TaskQueue's Activity to be cleared. Set another Activity, or "
    "remove the key"
)
_SINGLE_TASKING = (
    "Multitasking can be turned off only if another Workspace in the account is single-tasking"
)
_NEW_CHANNEL = (
    "TaskRouter creates this TaskChannel with the Workspace. Values that the TaskChannel "
    "already has are not changed"
)


class Action(StrEnum):
    """The action of a change."""

    CREATE = "create"
    UPDATE = "update"
    RENAME = "rename"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """A change to one resource.

    Attributes:
        action: The action. `REPLACE` means that TaskRouter does not allow the change.
        kind: The kind of resource.
        name: The identifier after the change.
        sid: The SID; "" for a new resource.
        before: Old plain values of the fields that change, or all values of a deleted resource.
        after: New plain values.
        note: Additional information for the operator; "" for none.
    """

    action: Action
    kind: Kind
    name: str
    sid: str
    before: Values
    after: Values
    note: str = ""

    @property
    def title(self) -> str:
        """The kind and name."""
        return f"{self.kind.title} {self.name!r}"


@dataclass(frozen=True)
class UnmanagedResource:
    """A resource that is missing from the definition's lists.

    Attributes:
        resource: The resource.
        note: Why the resource cannot be deleted; "" if it can.
    """

    resource: Resource
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """The changes that make a Workspace match a definition.

    Attributes:
        workspace: Name of the Workspace.
        workspace_sid: SID of the Workspace; "" if it must be created.
        changes: The changes in the order of execution.
        unmanaged: Resources that are missing from the definition's lists but are not deleted.
        omitted: Callback URLs that are left out because the API has no URL yet.
        numbers: Number of resources by kind, without the built-in TaskChannels.
        directory: The SIDs of existing resources by kind and by the name after the changes.
        checksum: Hash of the Workspace's SID, the changes and the unmanaged resources.
        prune: Whether resources that are missing from the definition's lists are deleted.
        is_found_by_name: Whether the stage has no SID, and the Workspace was found by its name.
    """

    workspace: str
    workspace_sid: str
    changes: tuple[Change, ...]
    unmanaged: tuple[UnmanagedResource, ...]
    omitted: tuple[str, ...]
    numbers: Mapping[Kind, int]
    directory: Directory
    checksum: str
    prune: bool
    is_found_by_name: bool = False

    def of(self, *actions: Action) -> list[Change]:
        """Return the changes whose action is one of the given actions."""
        return [change for change in self.changes if change.action in actions]

    @property
    def excessive_deletions(self) -> list[str]:
        """Descriptions of the kinds with more deletions than are allowed without `--force`.

        Deletions in a new Workspace are not counted, because TaskRouter created its resources.
        """
        deleted = Counter(change.kind for change in self.of(Action.DELETE))
        return [
            f"{number} of {self.numbers[kind]} in {kind.section}"
            for kind, number in deleted.items()
            if self.workspace_sid and number > MAX_DELETED_SHARE * self.numbers[kind]
        ]


def make_plan(
    definition: WorkspaceDefinition,
    state: State,
    *,
    api_url: str | None,
    prune: bool = False,
    reasons_to_keep: Mapping[str, str] | None = None,
) -> Plan:
    """Compare a definition with a Workspace.

    Args:
        definition: The definition.
        state: The Workspace, as `state.read_for` returns it.
        api_url: Base URL of the routes that TaskRouter calls; None if there is no API yet.
        prune: Whether to delete resources that are missing from the definition's lists.
        reasons_to_keep: Why resources must not be deleted, by SID.

    Raises:
        OperatorError: The definition and the Workspace contradict each other, or a name refers to
            no resource.
    """
    return _Planner(definition, state, api_url).plan(
        prune=prune, reasons_to_keep=reasons_to_keep or {}
    )


class _Planner:
    """Compares a definition with a Workspace."""

    def __init__(self, definition: WorkspaceDefinition, state: State, api_url: str | None) -> None:
        self._definition = definition
        self._state = state
        self._api_url = api_url
        self._items = {kind: managed(getattr(definition, kind.section), ()) for kind in RESOURCES}
        self._by_name: dict[tuple[Kind, str], list[Resource]] = defaultdict(list)
        for resource in state.resources:
            self._by_name[resource.kind, resource.kind.fold(resource.name)].append(resource)
        self._matches = {
            (kind, getattr(item, kind.identifier)): self._match(kind, item)
            for kind in RESOURCES
            for item in self._items[kind]
        }
        self._declared_by_sid: dict[str, Any] = {
            found.sid: item
            for kind in RESOURCES
            for item in self._items[kind]
            if (found := self._matches[kind, getattr(item, kind.identifier)])
        }
        self._declared_by_sid[state.workspace.sid] = definition
        self._directory = state.renamed(
            {found.sid: name for (_, name), found in self._matches.items() if found}
        )

    def plan(self, *, prune: bool, reasons_to_keep: Mapping[str, str]) -> Plan:
        state = self._state
        changes = [*self._compare_all()]
        self._require_names(changes)
        unmanaged = self._find_unmanaged(reasons_to_keep)
        if prune:
            deleted = [item.resource for item in unmanaged if not item.note]
            changes += self._plan_deletions(deleted)
            unmanaged = [item for item in unmanaged if item.note]
        basis = [
            [state.workspace.sid],
            [[item.action, item.kind.key, item.sid, {**item.before}, {**item.after}]
             for item in changes],
            [[item.resource.sid, item.resource.name] for item in unmanaged],
        ]  # fmt: skip
        return Plan(
            workspace=self._definition.friendly_name,
            workspace_sid=state.workspace.sid,
            changes=tuple(changes),
            unmanaged=tuple(unmanaged),
            omitted=tuple(self._omitted()),
            numbers=Counter(item.kind for item in state.resources if not is_built_in(item)),
            directory=self._directory,
            checksum=hashlib.sha256(canonical_text(basis).encode()).hexdigest(),
            prune=prune,
        )

    def _match(self, kind: Kind, item: Any) -> Resource | None:
        """Return the live resource for an item, found by the item's name or previous name."""
        name, was = getattr(item, kind.identifier), getattr(item, "was", None)
        found, previous = self._find(kind, name), self._find(kind, was) if was else None
        if found and previous and found is not previous:
            raise OperatorError(
                f"The file renames {kind.title} {was!r} to {name!r}, but both exist. Rename or "
                "delete one of them, or remove the `was` key."
            )
        return found or previous

    def _find(self, kind: Kind, name: str) -> Resource | None:
        found = self._by_name[kind, kind.fold(name)]
        if len(found) > 1:
            sids = ", ".join(resource.sid for resource in found)
            raise OperatorError(
                f"The Workspace has several resources with the name {name!r}: {sids}. Rename all "
                "but one of them."
            )
        return found[0] if found else None

    def _compare_all(self) -> Iterator[Change]:
        workspace = self._state.workspace
        if not workspace.sid:
            values = declared(WORKSPACE, self._definition, self._api_url)
            name = self._definition.friendly_name
            yield Change(Action.CREATE, WORKSPACE, name, "", {}, values)
        for kind in IN_ORDER:
            if kind is not WORKSPACE:
                for item in self._items[kind]:
                    yield from self._compare(
                        kind, item, self._matches[kind, getattr(item, kind.identifier)]
                    )
            elif workspace.sid:
                yield from self._compare(WORKSPACE, self._definition, workspace)

    def _compare(self, kind: Kind, item: Any, existing: Resource | None) -> Iterator[Change]:
        name = getattr(item, kind.identifier)
        wanted = declared(kind, item, self._api_url, is_new=existing is None)
        if existing is None:
            yield _creation(kind, name, wanted)
            return
        values = live(kind, existing.raw, self._directory)
        after = {
            key: value
            for key, value in wanted.items()
            if not are_equal(key, values.get(key), value)
        }
        if after:
            action, note = _classify(kind, after)
            if kind is TASK_CHANNEL and not self._state.workspace.sid:
                note = _NEW_CHANNEL
            before = {key: managed_part(key, values.get(key), after[key]) for key in after}
            yield Change(action, kind, name, existing.sid, before, after, note)

    def _require_names(self, changes: Iterable[Change]) -> None:
        """Check that changes refer to existing or previously created resources with unique names.

        The changes are checked in the order of `IN_ORDER`. A new Workspace is checked after its
        Activities, because the settings that refer to Activities are set only after these exist.
        """
        known = {*self._directory.sids}
        for change in sorted(changes, key=lambda change: IN_ORDER.index(change.kind)):
            for key, name in sorted(references(change.after)):
                kind = BY_KEY.get(key)
                if kind:
                    self._find(kind, name)
                if (key, name) not in known:
                    title = kind.title if kind else key
                    is_later = (kind, name) in self._matches
                    problem = (
                        "is created later"
                        if is_later
                        else "is neither in the file nor in the Workspace"
                    )
                    raise OperatorError(
                        f"{change.title} refers to the {title} {name!r}, which {problem}."
                    )
            known.add((change.kind.key, change.name))

    def _find_unmanaged(self, reasons_to_keep: Mapping[str, str]) -> list[UnmanagedResource]:
        """Return the resources that are missing from the definition's lists.

        A note says why a resource cannot be deleted; it is "" if the resource can be deleted.
        """
        matched = {found.sid for found in self._matches.values() if found}
        missing = [
            resource
            for resource in self._state.resources
            if not isinstance(getattr(self._definition, resource.kind.section), Unmanaged)
            and resource.sid not in matched
            and not is_built_in(resource)
        ]
        notes = {resource.sid: reasons_to_keep.get(resource.sid, "") for resource in missing}
        users = [item for item in self._state.resources if notes.get(item.sid) != ""]
        users.append(self._state.workspace)
        while users:
            used = {
                key: f"used by the {user.kind.title} {user.name!r}"
                for user in users
                for key in references(self._final_values(user))
            }
            users = [item for item in missing if not notes[item.sid] and _key(item) in used]
            notes |= {item.sid: used[_key(item)] for item in users}
        return [UnmanagedResource(item, notes[item.sid]) for item in missing]

    def _final_values(self, resource: Resource) -> dict[str, Any]:
        """Return the values of a resource after the changes."""
        values = live(resource.kind, resource.raw, self._directory)
        item = self._declared_by_sid.get(resource.sid)
        return values | declared(resource.kind, item, self._api_url) if item else values

    def _plan_deletions(self, resources: Iterable[Resource]) -> list[Change]:
        """Return the deletions in an order in which no existing resource refers to a deleted one.

        Deletions follow all other changes, because these may remove references.
        """
        changes = [
            Change(
                Action.DELETE,
                item.kind,
                item.name,
                item.sid,
                before=live(item.kind, item.raw, self._directory),
                after={},
            )
            for item in resources
        ]
        return sorted(changes, key=lambda change: -IN_ORDER.index(change.kind))

    def _omitted(self) -> Iterator[str]:
        """Yield the callback URLs that are left out because the API has no URL yet."""
        items = [(WORKSPACE, self._definition)]
        items += [(kind, item) for kind in RESOURCES for item in self._items[kind]]
        for kind, item in items if self._api_url is None else []:
            for name in kind.fields:
                if uses_api(name, getattr(item, name)):
                    yield f"{kind.title} {getattr(item, kind.identifier)!r}: {name}"


def _key(resource: Resource) -> tuple[str, str]:
    return resource.kind.key, resource.name


def _creation(kind: Kind, name: str, values: dict[str, Any]) -> Change:
    """Return the change that creates a resource.

    Raises:
        OperatorError: A new Workflow has no configuration.
    """
    if kind is WORKFLOW and "configuration" not in values:
        raise OperatorError(
            f"Workflow {name!r} does not exist yet, so the file must contain its configuration."
        )
    required = {"friendly_name": name} if kind is TASK_CHANNEL else {}
    return Change(Action.CREATE, kind, name, "", {}, required | values)


def _classify(kind: Kind, after: Values) -> tuple[Action, str]:
    """Return the action that changes an existing resource, and a note about the change."""
    if kind is ACTIVITY and "available" in after:
        return Action.REPLACE, _REPLACE_ACTIVITY
    cleared = [name for name in ACTIVITIES if name in after and after[name] is None]
    if cleared:
        return Action.REPLACE, _CLEAR_ACTIVITY
    is_renamed = kind is not TASK_CHANNEL and "friendly_name" in after
    note = _SINGLE_TASKING if after.get("multi_task_enabled") is False else ""
    return Action.RENAME if is_renamed else Action.UPDATE, note
