"""Handlers for /v1/Workspaces/{WorkspaceSid}/TaskChannels."""

from typing import Any

from taskrouter_simulator.engine import workspaces
from taskrouter_simulator.engine.model import TaskChannel
from taskrouter_simulator.rest.request import Request, Response, iso


def render(request: Request, channel: TaskChannel) -> dict[str, Any]:
    """Return a TaskChannel as JSON."""
    workspace = request.workspace
    return {
        "account_sid": request.engine.account_sid,
        "date_created": iso(channel.created),
        "date_updated": iso(channel.updated),
        "friendly_name": channel.friendly_name,
        "sid": channel.sid,
        "unique_name": channel.unique_name,
        "workspace_sid": workspace.sid,
        "channel_optimized_routing": channel.channel_optimized_routing,
        "url": request.url(workspace.sid, "TaskChannels", channel.sid),
        "links": {"workspace": request.url(workspace.sid)},
    }


def index(request: Request) -> Response:
    """List TaskChannels; the key in the envelope is `channels`."""
    return request.page("channels", request.workspace.channels.values(), render)


def create(request: Request) -> Response:
    """Create a TaskChannel."""
    channel = workspaces.add_channel(
        request.engine,
        request.workspace,
        friendly_name=request.form.required("FriendlyName", max_length=64),
        unique_name=request.form.required("UniqueName"),
        channel_optimized_routing=request.form.boolean("ChannelOptimizedRouting") or False,
    )
    workspaces.publish_channel(request.engine, request.workspace, channel, "created")
    return Response(201, render(request, channel))


def fetch(request: Request) -> Response:
    """Fetch a TaskChannel by its SID or unique name."""
    return Response(200, render(request, _find(request)))


def update(request: Request) -> Response:
    """Update a TaskChannel."""
    channel, form = _find(request), request.form
    channel.friendly_name = (
        form.text("FriendlyName", allow_empty=False, max_length=64) or channel.friendly_name
    )
    optimized = form.boolean("ChannelOptimizedRouting")
    if optimized is not None:
        channel.channel_optimized_routing = optimized
    request.engine.touch(channel)
    workspaces.publish_channel(request.engine, request.workspace, channel, "updated")
    return Response(200, render(request, channel))


def delete(request: Request) -> Response:
    """Delete a TaskChannel, unless it is built in or in use."""
    workspaces.delete_channel(request.engine, request.workspace, _find(request))
    return Response(204)


def _find(request: Request) -> TaskChannel:
    workspace = request.workspace
    by_name = {channel.unique_name: channel for channel in workspace.channels.values()}
    return request.find({**by_name, **workspace.channels}, "sid")
