"""/v1/Workspaces/{WorkspaceSid}/TaskChannels."""

from typing import Any

from taskrouter_simulator.engine import workspaces
from taskrouter_simulator.engine.model import TaskChannel
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso


def render(call: Call, channel: TaskChannel) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace = call.workspace
    return {
        "account_sid": call.engine.account_sid,
        "date_created": iso(channel.created),
        "date_updated": iso(channel.updated),
        "friendly_name": channel.friendly_name,
        "sid": channel.sid,
        "unique_name": channel.unique_name,
        "workspace_sid": workspace.sid,
        "channel_optimized_routing": channel.channel_optimized_routing,
        "url": call.url(workspace.sid, "TaskChannels", channel.sid),
        "links": {"workspace": call.url(workspace.sid)},
    }


def index(call: Call) -> Answer:
    """GET: list; the envelope's key is `channels`."""
    every = call.workspace.channels.values()
    return call.page("channels", every, lambda channel: render(call, channel))


def create(call: Call) -> Answer:
    """POST: create."""
    channel = workspaces.add_channel(
        call.engine,
        call.workspace,
        friendly_name=call.form.required("FriendlyName", longest=64),
        unique_name=call.form.required("UniqueName"),
        channel_optimized_routing=call.form.boolean("ChannelOptimizedRouting") or False,
    )
    workspaces.publish_channel(call.engine, call.workspace, channel, "created")
    return Answer(201, render(call, channel))


def fetch(call: Call) -> Answer:
    """GET: one, by SID or unique name."""
    return Answer(200, render(call, _found(call)))


def update(call: Call) -> Answer:
    """POST: change."""
    channel, form = _found(call), call.form
    channel.friendly_name = form.text("FriendlyName", longest=64) or channel.friendly_name
    optimized = form.boolean("ChannelOptimizedRouting")
    if optimized is not None:
        channel.channel_optimized_routing = optimized
    call.engine.touch(channel)
    workspaces.publish_channel(call.engine, call.workspace, channel, "updated")
    return Answer(200, render(call, channel))


def delete(call: Call) -> Answer:
    """DELETE: remove one that is not Twilio's own."""
    workspaces.delete_channel(call.engine, call.workspace, _found(call))
    return Answer(204)


def _found(call: Call) -> TaskChannel:
    workspace = call.workspace
    named = {channel.unique_name: channel for channel in workspace.channels.values()}
    return call.find({**named, **workspace.channels}, "sid")
