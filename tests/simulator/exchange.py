"""A telephone exchange for tests: an engine, and an app's answers by URL, without HTTP."""

import json

from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import Alert, AssignmentCallback, FetchTwiml
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.identifiers import made_up
from tests.simulator.conftest import Story

APP = "http://app.example/api/"
WORKFLOW = "WW" + made_up("workflow")
CALLER, NUMBER, DESK = "+15550001111", "+15556667777", "+15550002222"
MENU = """<Gather numDigits="1" action="enqueue_call"><Say language="es">Uno.</Say></Gather>"""
DEQUEUE = {"instruction": "dequeue", "to": DESK, "from": NUMBER}


def queue(attributes='{"selected_language": "es"}', more="", **given):
    named = {"workflowSid": WORKFLOW, "action": "left_queue", **given}
    written = " ".join(f'{name}="{value}"' for name, value in named.items())
    return f"<Enqueue {written}><Task {more}>{attributes}</Task></Enqueue>"


class Exchange(Story):
    """The quickstart's Workspace, with Alice at the phone; `documents` by the end of their URL."""

    def __init__(self, instruction=None, **settings):
        super().__init__(**settings)
        self.instruction = instruction or {}
        self.documents = {"incoming_call": MENU, "enqueue_call": queue(), "left_queue": ""}
        self._done = 0

    def place(self, *keys, **given):
        call = call_control.place(
            self.engine,
            caller=CALLER,
            called=NUMBER,
            url=f"{APP}incoming_call",
            keys=list(keys),
            worker_answers=given.get("worker_answers", True),
        )
        self.serve()
        return call

    def serve(self, seconds=0.0):
        """Answer everything that was asked, then let time pass, and answer what comes of that."""
        self.clock.advance(0)
        while self._done < len(self.effects):
            effect = self.effects[self._done]
            self._done += 1
            match effect:
                case FetchTwiml():
                    body = self.documents[effect.url.removeprefix(APP)]
                    whole = body if body.startswith("<?") else f"<Response>{body}</Response>"
                    execution.receive_document(
                        self.engine, effect.call_sid, effect.request, whole.encode()
                    )
                case AssignmentCallback():
                    sids = effect.workspace_sid, effect.reservation_sid
                    instruction = self.instruction
                    if callable(instruction):
                        instruction = instruction(effect.parameters)
                    handle_response(self.engine, *sids, instruction)
            self.clock.advance(0)
        if seconds:
            self.clock.advance(seconds)
            self.serve()

    def hang_up(self, call):
        call_control.hang_up(self.engine, call)
        self.serve()

    def at_work(self):
        """Alice turns Idle."""
        self.move(self.alice, "Idle")
        self.serve()

    def task_of(self, call):
        return self.workspace.tasks[call.task_sid]

    def attributes_of(self, call):
        return json.loads(self.task_of(call).attributes)

    def reservation_of(self, call):
        return self.reservations(self.task_of(call))[-1]

    def worker_leg(self):
        """The newest leg to a Worker."""
        return [one for one in self.engine.calls.values() if one.direction != "inbound"][-1]

    def alerts(self):
        return [one.code for one in self.effects if isinstance(one, Alert)]

    def requests(self):
        """What the app was asked, as (path, parameters)."""
        asked = [one for one in self.effects if isinstance(one, FetchTwiml)]
        return [(one.url.removeprefix(APP), one.parameters) for one in asked]


def steps(call):
    return [one["step"] for one in call.steps]
