"""The quickstart's Workspace with three more TaskQueues, and a Workflow defined by the test."""

import json

from taskrouter_simulator.engine import workers, workflows, workspaces
from tests.simulator.conftest import Simulation


class WorkflowSimulation(Simulation):
    """The quickstart's Workspace with three more TaskQueues and a Workflow of the given filters."""

    def __init__(self, *filters, default=None, multi=False, **settings):
        super().__init__(**settings)
        self.workspace.multi_task_enabled = multi
        self.queues = {
            name: workspaces.add_queue(
                self.engine,
                self.workspace,
                friendly_name=name,
                target_workers=f"queues HAS '{name}'",
            )
            for name in ("One", "Two", "Three")
        }
        self.workflow = workflows.add(
            self.engine,
            self.workspace,
            friendly_name="Test",
            configuration=self.configuration(*filters, default=default),
            task_reservation_timeout=5,
        )

    def configuration(self, *filters, default=None):
        text = json.dumps({"task_routing": {"filters": filters, "default_filter": default}})
        for name, queue in self.queues.items():
            text = text.replace(f'"{name}"', f'"{queue.sid}"')
        return text

    def add_worker(self, name, *queues, **attributes):
        worker = workers.create(
            self.engine,
            self.workspace,
            friendly_name=name,
            attributes=json.dumps({"queues": queues, **attributes}),
            activity_sid=self.activity_sid("Idle"),
        )
        self.clock.run_due()
        return worker

    def enqueue_task(self, **attributes):
        return self.create_task(json.dumps(attributes), workflow_sid=self.workflow.sid)

    def queue_name(self, task):
        return self.workspace.queues[task.queue_sid].friendly_name

    def offered_to(self, task):
        """Return the names of the Workers who have a pending Reservation for the Task."""
        reservations = self.reservations(task)
        return [item.worker_name for item in reservations if item.status == "pending"]


def catch_all_filter(*targets):
    """Return a filter that matches every Task and has the given targets."""
    return {"expression": "1==1", "targets": list(targets)}


def filter_with_target(**keys):
    """Return a catch-all filter whose only target has the TaskQueue "One" and the given keys."""
    return catch_all_filter({"queue": "One", **keys})
