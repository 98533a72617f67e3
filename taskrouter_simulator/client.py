"""Controls a simulator from a test or a script.

Only the `client` method needs an additional package, Twilio's SDK.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from twilio.rest import Client

_TIMEOUT_SECONDS = 600
_NO_PROXY_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TaskRouter:
    """Controls a running simulator.

    Args:
        url: Base URL of the simulator, such as "http://127.0.0.1:8002".
        control_token: The simulator's `control_token` setting; required if the simulator runs on
            another machine or in a container.

    Attributes:
        account_sid: SID of the account (AC…).
        auth_token: The account's Auth Token.
        api_key_sid: SID of an API key (SK…).
        api_key_secret: Secret of the API key.
        workspace_sid: SID of the loaded Workspace (WS…).
        workflow_sid: SID of the first loaded Workflow (WW…); "" if there is none.
        workers: WK… SIDs by friendly name.
        activities: WA… SIDs by friendly name.
        task_queues: WQ… SIDs by friendly name.
    """

    def __init__(self, url: str, control_token: str = "") -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json"}
        if control_token:
            self._headers["Authorization"] = f"Bearer {control_token}"
        self._set_attributes(self._request("GET", ""))

    def _set_attributes(self, description: dict[str, Any]) -> None:
        self.account_sid: str = description["account_sid"]
        self.auth_token: str = description["auth_token"]
        self.api_key_sid: str = description["api_key_sid"]
        self.api_key_secret: str = description["api_key_secret"]
        self.workspace_sid: str = description["workspace_sid"]
        self.workflow_sid: str = description["workflow_sid"]
        self.workers: dict[str, str] = description["workers"]
        self.activities: dict[str, str] = description["activities"]
        self.task_queues: dict[str, str] = description["task_queues"]

    def client(self) -> "Client":
        """Return a Twilio SDK client that calls the simulator."""
        from twilio.rest import Client  # noqa: PLC0415 - optional dependency

        client = Client(self.api_key_sid, self.api_key_secret, self.account_sid)
        client.taskrouter.base_url = self.url
        client.http_client.session.trust_env = False  # ignore proxies set in the environment
        return client

    def log(self, kind: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Return the log entries, oldest first.

        Args:
            kind: Kind of entries to return; None returns all kinds.
            after: Return only entries with a greater id.
        """
        query = {"after": str(after)} | ({"kind": kind} if kind else {})
        entries: list[dict[str, Any]] = self._request("GET", f"/log?{urlencode(query)}")["entries"]
        return entries

    def advance(self, seconds: float = 0) -> None:
        """Move the clock forward and wait for the resulting callbacks.

        The app must not call this method while it is handling a callback: the method and the
        callback would wait for each other until the callback times out.
        """
        self._request("POST", "/clock", {"advance": seconds})

    def place_call(
        self, caller: str, called: str, *digits: str | None, **fields: Any
    ) -> dict[str, Any]:
        """Place a call to the app and wait for the resulting callbacks.

        Args:
            caller: The caller's number, such as "+15550001111".
            called: The called number.
            *digits: Keys pressed, one argument for each `<Gather>`; None presses no key.
            **fields: Optional fields of POST /simulator/calls: `url` and `worker_answers`.

        Returns:
            The call's `sid`, `status`, `task_sid`, `steps` and other fields.
        """
        description = {"from": caller, "to": called, "digits": list(digits), **fields}
        call: dict[str, Any] = self._request("POST", "/calls", description)
        return call

    def call(self, sid: str) -> dict[str, Any]:
        """Return the current state of a caller's call, or of a call to a Worker."""
        call: dict[str, Any] = self._request("GET", f"/calls/{sid}")
        return call

    def hang_up(self, sid: str) -> dict[str, Any]:
        """Hang up a caller's call or a call to a Worker."""
        call: dict[str, Any] = self._request("POST", f"/calls/{sid}", {"status": "completed"})
        return call

    def answer(self, sid: str) -> dict[str, Any]:
        """Answer a ringing phone; `sid` is the SID of the call to the phone."""
        call: dict[str, Any] = self._request("POST", f"/calls/{sid}", {"status": "in-progress"})
        return call

    def update_call(self, sid: str, **flags: bool) -> dict[str, Any]:
        """Update a participant of a conference.

        Args:
            sid: SID of the participant's call.
            **flags: `muted`, `hold`, `speaking` or `end_conference_on_exit`.
        """
        call: dict[str, Any] = self._request("POST", f"/calls/{sid}", flags)
        return call

    def transfer(self, reservation_sid: str, to: str, mode: str = "WARM") -> dict[str, Any]:
        """Transfer the Task of an accepted Reservation to a Worker or TaskQueue.

        Args:
            reservation_sid: SID of the transferring Worker's Reservation.
            to: SID of the Worker or TaskQueue.
            mode: "WARM" or "COLD".
        """
        body = {"reservation_sid": reservation_sid, "to": to, "mode": mode}
        transfer: dict[str, Any] = self._request("POST", "/transfers", body)
        return transfer

    def cancel_transfer(self, sid: str) -> dict[str, Any]:
        """Cancel a transfer that nobody has accepted."""
        body = {"status": "canceled"}
        transfer: dict[str, Any] = self._request("POST", f"/transfers/{sid}", body)
        return transfer

    def fault(self, on: str, kind: str, **fields: Any) -> None:
        """Inject a fault.

        Args:
            on: Request or callback to affect, as in `Fault.on`.
            kind: Kind of fault, as in `Fault.kind`.
            **fields: Other fields of `taskrouter_simulator.faults.Fault`.
        """
        self._request("POST", "/faults", {"on": on, "kind": kind, **fields})

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._request("DELETE", "/faults")

    def reset(self, workspace: Mapping[str, Any] | None = None) -> None:
        """Replace the Workspace, and clear the log and the faults.

        A frozen clock returns to its start time, and any other clock returns to real time.

        Args:
            workspace: Definition of the new Workspace, as in a workspace file; None means the
                original Workspace.
        """
        self._set_attributes(self._request("POST", "/reset", workspace or {}))

    def snapshot(self) -> dict[str, Any]:
        """Return the complete state of the simulator, which can be stored as JSON."""
        snapshot: dict[str, Any] = self._request("GET", "/snapshot")
        return snapshot

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the simulator's state with the state in a snapshot, and clear the log."""
        self._set_attributes(self._request("PUT", "/snapshot", snapshot))

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - URL of the simulator
            f"{self.url}/simulator{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        try:
            with _NO_PROXY_OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                error.add_note(json.load(error)["message"])
            raise
