"""Workspaces in a simulator, with methods that plan and apply definitions."""

import contextlib
import json

from infra.workspace import apply as execution
from infra.workspace.http import RetryingHttpClient
from infra.workspace.plan import make_plan
from infra.workspace.state import read_for
from taskrouter_simulator.definition.reader import from_value
from taskrouter_simulator.testing import running

API = "http://127.0.0.1:9/dev"
"""URL of the API. No server listens at this address."""


class LiveWorkspace:
    """A Workspace in a simulator.

    Attributes:
        twilio: The simulator.
        client: The SDK's client.
        context: The SDK's context for the Workspace.
    """

    def __init__(self, twilio, sid="", http_client=None):
        self.twilio = twilio
        self.client = twilio.client()
        self.client.http_client = http_client or RetryingHttpClient(sleep=self._sleep)
        self.sid = sid or twilio.workspace_sid
        self.context = self.client.taskrouter.v1.workspaces(self.sid)
        self.waits = []

    def _sleep(self, seconds):
        self.waits.append(seconds)

    def add_workspace(self, max_requests=None):
        """Create another Workspace, and return it.

        Args:
            max_requests: Number of requests until `Killed` is raised; None for no limit.
        """
        created = self.client.taskrouter.v1.workspaces.create(
            friendly_name="New", multi_task_enabled=False
        )
        http_client = KilledHttpClient(max_requests) if max_requests else None
        return LiveWorkspace(self.twilio, created.sid, http_client)

    def plan(self, definition, **options):
        state = read_for(self.context, definition)
        return make_plan(definition, state, **{"api_url": API} | options)

    def apply(self, definition, **options):
        """Plan and execute; return the plan."""
        plan = self.plan(definition, **options)
        execution.refuse_impossible(plan, force=True)
        execution.apply(plan, self.context, lambda _change: None)
        return plan

    def changes(self, definition, **options):
        """Return the planned changes as tuples of action, title and new values."""
        return [
            (str(change.action), change.title, dict(change.after))
            for change in self.plan(definition, **options).changes
        ]

    def requests(self, *methods):
        """Return the method and path of each request sent so far with one of these methods."""
        return [
            (entry["method"], entry["path"])
            for entry in self.twilio.log("request")
            if entry["method"] in methods
        ]


@contextlib.contextmanager
def workspace(tmp_path, value=None, **settings):
    """Run a simulator with a Workspace.

    By default, the Workspace has only the default Activities and TaskChannels.
    """
    file = tmp_path / "seed.json"
    file.write_text(json.dumps(value or {"friendly_name": "New", "multi_task_enabled": False}))
    with running(workspace_file=str(file), **settings) as twilio:
        yield LiveWorkspace(twilio)


def define(**keys):
    """Return a definition with these keys."""
    return from_value({"friendly_name": "New", **keys})


class Killed(BaseException):
    """Ends a command as if its process had been killed."""


class KilledHttpClient(RetryingHttpClient):
    """An HTTP client that raises `Killed` after a given number of requests.

    Args:
        max_requests: Number of requests. The last request is executed, but its response is lost.
    """

    def __init__(self, max_requests):
        super().__init__(sleep=lambda _seconds: None)
        self.max_requests = max_requests

    def request(self, *args, **kwargs):
        response = super().request(*args, **kwargs)
        self.max_requests -= 1
        if not self.max_requests:
            raise Killed
        return response
