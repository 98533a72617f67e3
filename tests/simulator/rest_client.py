"""A REST client that compares responses to POST requests with the stored resources."""

import json
from datetime import UTC, datetime

from tests.simulator.conftest import send_request


class Rest:
    """Sends requests to a simulator's Workspace, and computes expected values."""

    def __init__(self, taskrouter):
        self.taskrouter = taskrouter
        self.url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}"
        self.common = {
            "account_sid": taskrouter.account_sid,
            "workspace_sid": taskrouter.workspace_sid,
        }

    def get(self, path, **parameters):
        status, body = send_request(self.taskrouter, "GET", path, **parameters)
        assert status == 200, body
        return body

    def create(self, path, *, is_stable=True, **parameters):
        """Create a resource; pass `is_stable=False` if routing changes it immediately."""
        status, body = send_request(self.taskrouter, "POST", path, **parameters)
        assert status == 201, body
        if is_stable:
            assert body == self.get(f"{path}/{body['sid']}")
        return body

    def update(self, path, **parameters):
        status, body = send_request(self.taskrouter, "POST", path, **parameters)
        assert status == 200, body
        assert body == self.get(path)
        return body

    def now(self, *, after=0):
        """Advance the clock by a number of seconds; return the time in Twilio's format."""
        moment = self.taskrouter._request("POST", "/clock", {"advance": after})["now"]
        return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def dates(self):
        """Return the expected dates of a resource that was just created."""
        return dict.fromkeys(("date_created", "date_updated"), self.now())

    def workflow(self, queue_sid):
        """Return a Workflow configuration that sends every Task to a TaskQueue."""
        return json.dumps({"task_routing": {"default_filter": {"queue": queue_sid}}})
