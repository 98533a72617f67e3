"""Handlers for the statistics of Workspaces, Workers, TaskQueues and Workflows.

See https://www.twilio.com/docs/taskrouter/api/workspace-statistics and the pages about the other
resources.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from taskrouter_simulator.engine import statistics, tasks, workers
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.history import RETENTION, Fact
from taskrouter_simulator.engine.model import Task, TaskQueue, Worker
from taskrouter_simulator.engine.statistics import Interval
from taskrouter_simulator.rest.request import Request, Response, iso
from taskrouter_simulator.rest.workers import name_and_queue_filter

Compute = Callable[[Request], dict[str, Any]]

_DEFAULT_MINUTES = 15
_MAX_MINUTES = 10**9
_TOO_OLD = 14241
_MAX_QUEUES = 50
_WORKER_FILTERS = {"FriendlyName", "TaskQueueName", "TaskQueueSid"}
_RELATIVE = ("longest_relative_task_age_in_queue", "longest_relative_task_sid_in_queue")


@dataclass(frozen=True)
class _Selection:
    """The facts selected by a request for cumulative Task statistics.

    Attributes:
        interval: The interval.
        facts: The facts in the interval, oldest first; limited to one TaskChannel if requested.
        thresholds: Waiting times in seconds. For each of these, accepted Reservations and canceled
            Tasks with longer waits are counted separately from the others.
    """

    interval: Interval
    facts: list[Fact]
    thresholds: list[int]


def handler(compute: Compute) -> Callable[[Request], Response]:
    """Return a handler whose response contains the computed properties."""
    return lambda request: _respond(request, compute(request))


def combined_handler(real_time: Compute, cumulative: Compute) -> Callable[[Request], Response]:
    """Return a handler whose response contains real-time and cumulative statistics."""
    return lambda request: _respond(
        request, {"realtime": real_time(request), "cumulative": cumulative(request)}
    )


def workspace_real_time(request: Request) -> dict[str, Any]:
    """Compute the real-time statistics of a Workspace."""
    all_workers = request.workspace.workers.values()
    return {
        **_count_tasks(request, request.workspace.tasks.values(), _channel_sid(request)),
        **_count_workers(request, all_workers),
        "total_workers": len(all_workers),
    }


def workspace_cumulative(request: Request) -> dict[str, Any]:
    """Compute the cumulative statistics of a Workspace."""
    selection = _select(request)
    omitted = ("tasks_entered", "wait_duration_in_queue_until_accepted")
    return _sum_tasks(selection, selection.facts, omitted=omitted)


def workflow_real_time(request: Request) -> dict[str, Any]:
    """Compute the real-time statistics of a Workflow."""
    sid = request.find(request.workspace.workflows, "workflow").sid
    workflow_tasks = [task for task in request.workspace.tasks.values() if task.workflow_sid == sid]
    return _count_tasks(request, workflow_tasks, _channel_sid(request))


def workflow_cumulative(request: Request) -> dict[str, Any]:
    """Compute the cumulative statistics of a Workflow.

    A Task enters its Workflow when it is created, so `tasks_entered` is the number of created
    Tasks.
    """
    sid = request.find(request.workspace.workflows, "workflow").sid
    selection = _select(request)
    facts = [fact for fact in selection.facts if fact.workflow_sid == sid]
    sums = _sum_tasks(selection, facts, omitted=("wait_duration_in_queue_until_accepted",))
    sums["tasks_entered"] = sums.pop("tasks_created")
    return sums


def task_queue_real_time(request: Request) -> dict[str, Any]:
    """Compute the real-time statistics of a TaskQueue."""
    queue = request.find(request.workspace.queues, "task_queue")
    return _count_in_queue(request, queue.sid, _channel_sid(request))


def task_queue_cumulative(request: Request) -> dict[str, Any]:
    """Compute the cumulative statistics of a TaskQueue."""
    queue = request.find(request.workspace.queues, "task_queue")
    return _sum_in_queue(_select(request), queue)


def list_task_queues(request: Request) -> Response:
    """List the statistics of TaskQueues, optionally filtered by name."""
    name, selection = request.query.text("FriendlyName"), _select(request)
    channel_sid = _channel_sid(request)

    def render(request: Request, queue: TaskQueue) -> dict[str, Any]:
        return {
            "account_sid": request.engine.account_sid,
            "workspace_sid": request.workspace.sid,
            "task_queue_sid": queue.sid,
            "realtime": _count_in_queue(request, queue.sid, channel_sid),
            "cumulative": _sum_in_queue(selection, queue),
        }

    return request.page(
        "task_queues_statistics",
        request.workspace.queues.values(),
        render,
        keep=lambda queue: name in {None, queue.friendly_name},
    )


def fetch_task_queues(request: Request) -> Response:
    """Return real-time statistics of up to 50 TaskQueues, with zeros for missing TaskQueues."""
    sids = request.form.sids("QueueSids", "WQ")
    if not 1 <= len(sids) <= _MAX_QUEUES:
        raise BadRequest(f"QueueSids must contain between 1 and {_MAX_QUEUES} TaskQueue SIDs")
    data = [{"task_queue_sid": sid, **_count_in_queue(request, sid, None)} for sid in sids]
    for item in data:
        for name in _RELATIVE:
            del item[name]
    return _respond(request, {"task_queue_data": data, "task_queue_response_count": len(data)})


def workers_real_time(request: Request) -> dict[str, Any]:
    """Compute the real-time statistics of all Workers."""
    return _count_selected(request, request.workspace.workers.values())


def workers_cumulative(request: Request) -> dict[str, Any]:
    """Compute the cumulative statistics of all Workers, including deleted Workers."""
    return _sum_selected(request, None)


def fetch_workers(request: Request) -> Response:
    """Return the statistics of Workers, optionally filtered by name or TaskQueue."""
    keep = name_and_queue_filter(request)
    selected = [worker for worker in request.workspace.workers.values() if keep(worker)]
    is_filtered = not _WORKER_FILTERS.isdisjoint(request.query.given())
    sids = {worker.sid for worker in selected} if is_filtered else None
    real_time = _count_selected(request, selected)
    return _respond(request, {"realtime": real_time, "cumulative": _sum_selected(request, sids)})


def fetch_worker(request: Request) -> Response:
    """Return the cumulative statistics of a Worker."""
    worker = request.find(request.workspace.workers, "worker")
    return _respond(request, {"cumulative": _sum_selected(request, {worker.sid})})


def _respond(request: Request, properties: dict[str, Any]) -> Response:
    """Return the properties, the account SID, the URL, and the SIDs in the path."""
    sids = {f"{name}_sid": sid for name, sid in request.ids.items()}
    url = f"{request.base_url}{request.path}"
    common = {"account_sid": request.engine.account_sid, "url": url}
    return Response(200, {**common, **sids, **properties})


def _select(request: Request) -> _Selection:
    interval = _parse_interval(request)
    return _Selection(interval, _facts(request, interval), _parse_thresholds(request))


def _parse_interval(request: Request) -> Interval:
    """Return the requested interval, which defaults to the 15 minutes before EndDate.

    Raises:
        BadRequest: The interval ends before it begins, or begins more than 30 days ago, or Minutes
            is combined with a date.
    """
    query, now = request.query, request.engine.now()
    start, end = query.moment("StartDate"), query.moment("EndDate")
    minutes = query.integer("Minutes", 1, _MAX_MINUTES)
    if minutes is not None and (start, end) != (None, None):
        raise BadRequest("Minutes must not be combined with StartDate or EndDate")
    end = now if end is None else end
    if start is None:
        start = end - 60 * (minutes or _DEFAULT_MINUTES)
    if start < int(now) - RETENTION:
        raise BadRequest("The interval must not begin more than 30 days ago", _TOO_OLD)
    if start > end:
        raise BadRequest("StartDate must not be later than EndDate, which defaults to now")
    return Interval(start, end)


def _parse_thresholds(request: Request) -> list[int]:
    text = request.query.text("SplitByWaitTime")
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise BadRequest("SplitByWaitTime must be a comma-separated list of whole seconds")
    return [int(part) for part in parts]


def _channel_sid(request: Request) -> str | None:
    name = request.query.text("TaskChannel", allow_empty=False)
    return tasks.require_channel(request.workspace, name).sid if name else None


def _facts(request: Request, interval: Interval) -> list[Fact]:
    channel_sid = _channel_sid(request)
    facts = interval.facts(request.workspace.history)
    return [fact for fact in facts if channel_sid in {None, fact.channel_sid}]


def _count_tasks(
    request: Request, candidates: Iterable[Task], channel_sid: str | None
) -> dict[str, Any]:
    return statistics.count_tasks(
        [task for task in candidates if channel_sid in {None, task.channel_sid}],
        request.engine.now(),
        count_closed=request.engine.settings.closed_tasks_in_statistics,
    )


def _count_workers(request: Request, selected: Collection[Worker]) -> dict[str, Any]:
    activities = request.workspace.activities.values()
    return {"activity_statistics": statistics.count_workers(activities, selected)}


def _count_in_queue(request: Request, sid: str, channel_sid: str | None) -> dict[str, Any]:
    """Return the real-time statistics of a TaskQueue; zeros if the TaskQueue does not exist."""
    engine, workspace = request.engine, request.workspace
    queue = workspace.queues.get(sid)
    members = workers.members(engine, workspace, queue) if queue else []
    queued = [
        task
        for task in workspace.tasks.values()
        if task.queue_sid == sid and channel_sid in {None, task.channel_sid}
    ]
    relative = statistics.longest_waiting(queued, engine.now(), in_queue=True)
    return {
        **_count_tasks(request, queued, None),
        **_count_workers(request, members),
        **dict(zip(_RELATIVE, relative, strict=True)),
        "total_available_workers": sum(workspace.is_available(worker) for worker in members),
        "total_eligible_workers": len(members),
    }


def _sum_tasks(
    selection: _Selection, facts: Collection[Fact], *, omitted: tuple[str, ...]
) -> dict[str, Any]:
    sums = statistics.sum_tasks(facts, selection.thresholds)
    for name in omitted:
        del sums[name]
    return {**sums, **_render_interval(selection.interval)}


def _sum_in_queue(selection: _Selection, queue: TaskQueue) -> dict[str, Any]:
    facts = [fact for fact in selection.facts if fact.queue_sid == queue.sid]
    omitted = ("tasks_created", "tasks_timed_out_in_workflow")
    return _sum_tasks(selection, facts, omitted=omitted)


def _count_selected(request: Request, selected: Collection[Worker]) -> dict[str, Any]:
    """Return the real-time statistics of Workers.

    The requested TaskChannel must exist, but makes no difference, because every Worker has every
    TaskChannel.
    """
    _require_few_workers(request)
    _channel_sid(request)
    return {**_count_workers(request, selected), "total_workers": len(selected)}


def _sum_selected(request: Request, sids: Collection[str] | None) -> dict[str, Any]:
    """Return the cumulative statistics of the Workers with these SIDs; None for all Workers."""
    _require_few_workers(request)
    workspace, now = request.workspace, request.engine.now()
    interval = _parse_interval(request)
    facts = _facts(request, interval)
    return {
        **statistics.sum_reservations(
            fact for fact in facts if sids is None or fact.worker_sid in sids
        ),
        "activity_durations": statistics.sum_activities(workspace, interval, now, sids),
        **_render_interval(interval),
    }


def _require_few_workers(request: Request) -> None:
    """Check that statistics of Workers are available: https://www.twilio.com/docs/taskrouter/limits.

    Raises:
        BadRequest: The Workspace has too many Workers.
    """
    limit = request.engine.settings.worker_statistics_limit
    if limit and len(request.workspace.workers) > limit:
        raise BadRequest(
            f"Statistics of Workers are not available in a Workspace with more than {limit} Workers"
        )


def _render_interval(interval: Interval) -> dict[str, str | None]:
    return {"start_time": iso(interval.start), "end_time": iso(interval.end)}
