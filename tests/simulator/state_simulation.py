"""Simulates a Task in a given status, and reports timers and changed resources."""

from taskrouter_simulator.engine import assignments
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


class StateSimulation(WorkflowSimulation):
    """A Workspace with a Task in the given status.

    Unless the status is pending, the Worker Carol in the TaskQueue "One" has a Reservation.
    """

    def __init__(self, status="reserved", **settings):
        super().__init__(catch_all_filter({"queue": "One", "timeout": 100}), **settings)
        self.carol = None if status == "pending" else self.add_worker("Carol", "One")
        self.task = self.enqueue_task()
        self.reservation = self.task.reservations[0] if self.carol else None
        if status in {"assigned", "wrapping"}:
            self.do(assignments.accept, self.reservation)
        if status == "wrapping":
            self.do(assignments.wrap, self.task)
        self.started = self.clock.now()

    def do(self, operation, *arguments, **options):
        result = operation(self.engine, self.workspace, *arguments, **options)
        self.clock.run_due()
        return result

    def due(self):
        """Return the due time of each timer, in seconds after the start."""
        timers = [timer for timer in self.clock._timers if not timer.canceled]
        return sorted(round(timer.when - self.started, 6) for timer in timers)

    def resources(self):
        """Return the Workspace and its resources by name."""
        workspace = self.workspace
        named = [workspace, *workspace.activities.values(), *workspace.workers.values(),
                 *workspace.queues.values(), *workspace.workflows.values()]  # fmt: skip
        resources = {item.friendly_name: item for item in named}
        resources |= {channel.unique_name: channel for channel in workspace.channels.values()}
        if self.carol:
            channel = workspace.channel("default")
            resources["Carol's channel"] = self.carol.channels[channel.sid]
        resources |= {"task": self.task, "reservation": self.reservation}
        return {name: item for name, item in resources.items() if item}

    def changes(self, operation, *arguments, **options):
        """Execute an operation after one second; return the number of changes per resource."""
        resources = self.resources()
        before = {name: item.version for name, item in resources.items()}
        self.clock.advance(1)
        self.do(operation, *arguments, **options)
        changed = {name for name, item in resources.items() if item.updated == self.clock.now()}
        counts = {name: item.version - before[name] for name, item in resources.items()}
        counts = {name: count for name, count in counts.items() if count}
        assert counts.keys() == changed
        return counts
