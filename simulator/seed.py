"""The Workspace of Twilio's quickstart, with SIDs that stay the same from run to run."""

import json

from simulator.engine import workers, workspaces
from simulator.engine.core import Engine
from simulator.engine.model import TaskQueue, Workspace
from simulator.identifiers import made_up

_ACTIVITIES = (("Offline", False), ("Idle", True), ("Busy", False), ("Reserved", False))
_WORKERS = (("Alice", ["en", "es"]), ("Bob", ["en"]))
_QUEUES = (("Spanish", "es"), ("English", "en"))


def quickstart(engine: Engine) -> Workspace:
    """Set the quickstart up: https://www.twilio.com/docs/taskrouter/quickstart.

    It is single-tasking, as the tutorial's older Workspaces were: else no Worker ever turns Busy.
    """
    settings = engine.settings
    workspace = workspaces.create(
        engine,
        friendly_name="Quickstart",
        multi_task_enabled=False,
        sid="WS" + made_up("workspace"),
    )
    for name, available in _ACTIVITIES:
        sid = "WA" + made_up(f"activity/{name}")
        workspaces.add_activity(engine, workspace, friendly_name=name, available=available, sid=sid)
    for name, languages in _WORKERS:
        workers.create(
            engine,
            workspace,
            friendly_name=name,
            attributes=json.dumps({"languages": languages}),
            sid="WK" + made_up(f"worker/{name}"),
        )
    queues = [_queue(engine, workspace, name, language) for name, language in _QUEUES]
    workspaces.add_workflow(
        engine,
        workspace,
        friendly_name="Incoming Customer Care Requests",
        configuration=_configuration(queues),
        assignment_callback_url=settings.url(settings.assignment_path),
        fallback_assignment_callback_url=settings.url(settings.fallback_path),
        task_reservation_timeout=settings.reservation_timeout,
        sid="WW" + made_up("workflow"),
    )
    workspace.event_callback_url = settings.url(settings.event_path)
    return workspace


def _queue(engine: Engine, workspace: Workspace, name: str, language: str) -> TaskQueue:
    return workspaces.add_queue(
        engine,
        workspace,
        friendly_name=f"Customer Care Requests - {name}",
        target_workers=f'languages HAS "{language}"',
        sid="WQ" + made_up(f"queue/{name}"),
    )


def _configuration(queues: list[TaskQueue]) -> str:
    filters = [
        {
            "filter_friendly_name": name,
            "expression": f"selected_language=='{language}'",
            "targets": [{"queue": queue.sid}],
        }
        for (name, language), queue in zip(_QUEUES, queues, strict=True)
    ]
    return json.dumps({"task_routing": {"filters": filters}})
