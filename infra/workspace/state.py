"""Reads a live Workspace through Twilio's SDK."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from infra.doctor import probe_api
from infra.workspace.kinds import (
    ACTIVITIES,
    ACTIVITY,
    RESOURCES,
    TASK_CHANNEL,
    WORKER,
    WORKSPACE,
    Kind,
)
from infra.workspace.values import Values, live
from taskrouter_simulator.definition.configuration import Directory, find_names
from taskrouter_simulator.definition.model import Unmanaged, WorkspaceDefinition, managed

PAGE_SIZE = 1_000
"""Number of resources per request; the maximum of Twilio's API."""


@dataclass(frozen=True)
class Resource:
    """A resource in TaskRouter.

    Attributes:
        kind: The kind of resource.
        sid: The SID.
        name: The identifier: the friendly name, or the unique name of a TaskChannel.
        raw: Values in TaskRouter by field name. Fields for Activities contain SIDs.
    """

    kind: Kind
    sid: str
    name: str
    raw: Values


@dataclass(frozen=True)
class State:
    """A Workspace in TaskRouter.

    Attributes:
        workspace: The Workspace; its SID is "" if the Workspace does not exist yet.
        resources: The Workspace's resources; Workers only if they were requested.
    """

    workspace: Resource
    resources: tuple[Resource, ...] = field(default=())

    def of(self, kind: Kind) -> Iterator[Resource]:
        """Yield the resources of a kind."""
        return (resource for resource in self.resources if resource.kind is kind)

    @cached_property
    def directory(self) -> Directory:
        """The SIDs of all resources by kind and name."""
        return self.renamed({})

    def renamed(self, names: Mapping[str, str]) -> Directory:
        """Return the SIDs by kind and name after renaming resources.

        Args:
            names: New names by SID.
        """
        return Directory(
            {
                (resource.kind.key, names.get(resource.sid, resource.name)): resource.sid
                for resource in self.resources
            }
        )

    def values(self, resource: Resource) -> dict[str, Any]:
        """Return the values of a resource as plain values."""
        return live(resource.kind, resource.raw, self.directory)


def new(name: str) -> State:
    """Return the expected state of a new Workspace, with names instead of SIDs.

    The values of the TaskChannels are left out, because Twilio does not document them.
    """
    raw = dict.fromkeys(WORKSPACE.fields)
    raw |= {"default_activity": _OFFLINE, "timeout_activity": _OFFLINE}
    activities = [
        Resource(ACTIVITY, name, name, {"friendly_name": name, "available": available})
        for name, available in _NEW_ACTIVITIES.items()
    ]
    channels = [Resource(TASK_CHANNEL, name, name, {}) for name in BUILT_IN_CHANNELS]
    return State(Resource(WORKSPACE, "", name, raw), (*activities, *channels))


def read(context: Any, *, with_workers: bool, details: Mapping[str, bool] | None) -> State:
    """Read a Workspace, without the resources of a probe (`infra doctor --probe`).

    Args:
        context: The SDK's context for the Workspace.
        with_workers: Whether to read Workers.
        details: The keys are the names of the Workers whose attributes are needed. The values
            say whether the Worker's capacities are also needed; reading these takes one request
            per Worker. None means that the attributes and capacities of all Workers are needed.
    """
    resources: list[Resource] = []
    for kind in RESOURCES:
        if kind is not WORKER or with_workers:
            listed = getattr(context, kind.section).list(page_size=PAGE_SIZE)
            resources += (
                resource_of(kind, instance)
                for instance in listed
                if instance.friendly_name != probe_api.NAME
            )
    folded = None if details is None else {WORKER.fold(name): details[name] for name in details}
    completed = (
        _complete(
            context, resource, with_capacity=folded is None or folded[WORKER.fold(resource.name)]
        )
        if resource.kind is WORKER and (folded is None or WORKER.fold(resource.name) in folded)
        else resource
        for resource in resources
    )
    return State(resource_of(WORKSPACE, context.fetch()), tuple(completed))


def read_for(context: Any, definition: WorkspaceDefinition) -> State:
    """Read the resources that are needed to compare a Workspace with a definition.

    Args:
        context: The SDK's context for the Workspace.
        definition: The definition.
    """
    details = {
        name: not isinstance(item.capacity, Unmanaged)
        for item in managed(definition.workers, ())
        for name in (item.friendly_name, item.was)
        if name is not None
    }
    is_declared = not isinstance(definition.workers, Unmanaged)
    return read(
        context, with_workers=is_declared or _refers_to_workers(definition), details=details
    )


def _refers_to_workers(definition: WorkspaceDefinition) -> bool:
    """Return whether an expression in a definition contains the name of a Worker."""
    return any(kind == WORKER.key for kind, _ in find_names(str(definition.document.value)))


def read_one(context: Any, kind: Kind, sid: str) -> Resource:
    """Read a resource, with its capacities if it is a Worker.

    Args:
        context: The SDK's context for the Workspace.
        kind: The kind of resource.
        sid: The SID of the resource.
    """
    if kind is WORKSPACE:
        return resource_of(kind, context.fetch())
    resource = resource_of(kind, getattr(context, kind.section)(sid).fetch())
    return _complete(context, resource, with_capacity=True) if kind is WORKER else resource


def _complete(context: Any, resource: Resource, *, with_capacity: bool) -> Resource:
    """Add a Worker's attributes, if they are missing, and its capacities, if requested."""
    raw = dict(resource.raw)
    worker = context.workers(resource.sid)
    if raw["attributes"] is None:
        raw["attributes"] = worker.fetch().attributes
    if with_capacity:
        channels = worker.worker_channels.list(page_size=PAGE_SIZE)
        raw["capacity"] = {
            channel.task_channel_unique_name: channel.configured_capacity
            for channel in channels
            if channel.task_channel_unique_name != probe_api.CHANNEL
        }
    return replace(resource, raw=raw)


def resource_of(kind: Kind, instance: Any) -> Resource:
    """Convert a resource instance of Twilio's SDK to a `Resource`."""
    raw = {
        name: getattr(instance, f"{name}_sid" if name in ACTIVITIES else name)
        for name in kind.fields
        if name != "capacity"
    }
    return Resource(kind, instance.sid, getattr(instance, kind.identifier), raw)


def is_built_in(resource: Resource) -> bool:
    """Return whether a resource is a TaskChannel that every Workspace has."""
    return resource.kind is TASK_CHANNEL and resource.name in BUILT_IN_CHANNELS


_OFFLINE = "Offline"
_NEW_ACTIVITIES = {_OFFLINE: False, "Available": True, "Unavailable": False}
"""Activities of a new Workspace and whether Workers in them are available:
https://www.twilio.com/docs/taskrouter/api/activity."""
BUILT_IN_CHANNELS = ("default", "voice", "sms", "chat", "video")
"""TaskChannels of every Workspace: https://www.twilio.com/docs/taskrouter/api/task-channel."""
