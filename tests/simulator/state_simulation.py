"""An engine with a Task in a given status, whose timers and changes can be compared."""

from taskrouter_simulator.engine import assignments
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


class Center(WorkflowSimulation):
    """A Workspace with a Task for the Worker Carol, who is in the TaskQueue One."""

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
        """Return the seconds until each timer is due."""
        timers = [timer for timer in self.clock._timers if not timer.canceled]
        return sorted(round(timer.when - self.started, 6) for timer in timers)

    def resources(self):
        """Return the resources by name."""
        workspace = self.workspace
        named = [workspace, *workspace.activities.values(), *workspace.workers.values(),
                 *workspace.queues.values(), *workspace.workflows.values()]  # fmt: skip
        found = {item.friendly_name: item for item in named}
        found |= {channel.unique_name: channel for channel in workspace.channels.values()}
        if self.carol:
            channel = workspace.channel("default")
            found["Carol's channel"] = self.carol.channels[channel.sid]
        found |= {"task": self.task, "reservation": self.reservation}
        return {name: item for name, item in found.items() if item}

    def changes(self, operation, *arguments, **options):
        """Execute an operation after a second; return the number of changes by resource."""
        resources = self.resources()
        before = {name: item.version for name, item in resources.items()}
        self.clock.advance(1)
        self.do(operation, *arguments, **options)
        changed = {name for name, item in resources.items() if item.updated == self.clock.now()}
        counts = {name: item.version - before[name] for name, item in resources.items()}
        counts = {name: count for name, count in counts.items() if count}
        assert counts.keys() == changed
        return counts
