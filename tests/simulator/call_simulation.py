"""Simulates calls without HTTP; the app's TwiML documents come from a dictionary."""

import json

from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import Alert, AssignmentCallback, FetchTwiml
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.identifiers import derived_hex
from tests.simulator.conftest import Simulation

APP = "http://app.example/api/"
WORKFLOW = "WW" + derived_hex("workflow")
CALLER, NUMBER, WORKER_NUMBER = "+15550001111", "+15556667777", "+15550002222"
MENU = """<Gather numDigits="1" action="enqueue_call"><Say language="es">Uno.</Say></Gather>"""
DEQUEUE = {"instruction": "dequeue", "to": WORKER_NUMBER, "from": NUMBER}


def enqueue_verb(attributes='{"selected_language": "es"}', task_options="", **options):
    """Return an `<Enqueue>` verb that creates a Task."""
    options = {"workflowSid": WORKFLOW, "action": "left_queue", **options}
    text = " ".join(f'{name}="{value}"' for name, value in options.items())
    return f"<Enqueue {text}><Task {task_options}>{attributes}</Task></Enqueue>"


class CallSimulation(Simulation):
    """The quickstart's Workspace, and an app that responds to callbacks and TwiML requests.

    Attributes:
        documents: The TwiML verbs, or the complete document, at each path of the app.
        instruction: The app's response to assignment callbacks, or a function that returns the
            response to a callback with the given parameters.
    """

    def __init__(self, instruction=None, **settings):
        super().__init__(**settings)
        self.instruction = instruction or {}
        self.documents = {"incoming_call": MENU, "enqueue_call": enqueue_verb(), "left_queue": ""}
        self._processed = 0

    def place_call(self, *keys, worker_answers=True):
        call = call_control.place(
            self.engine,
            caller=CALLER,
            called=NUMBER,
            url=f"{APP}incoming_call",
            keys=list(keys),
            worker_answers=worker_answers,
        )
        self.run()
        return call

    def run(self, seconds=0.0):
        """Respond to all requests, advance the clock, and respond to new requests."""
        self.clock.advance(0)
        while self._processed < len(self.effects):
            effect = self.effects[self._processed]
            self._processed += 1
            match effect:
                case FetchTwiml():
                    body = self.documents[effect.url.removeprefix(APP)]
                    document = body if body.startswith("<?") else f"<Response>{body}</Response>"
                    execution.receive_document(
                        self.engine, effect.call_sid, effect.request, document.encode()
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
            self.run()

    def hang_up(self, call):
        call_control.hang_up(self.engine, call)
        self.run()

    def make_alice_idle(self):
        """Set Alice to Idle, and respond to the resulting requests."""
        self.set_activity(self.alice, "Idle")
        self.run()

    def task_of(self, call):
        return self.workspace.tasks[call.task_sid]

    def attributes_of(self, call):
        return json.loads(self.task_of(call).attributes)

    def reservation_of(self, call):
        return self.reservations(self.task_of(call))[-1]

    def worker_leg(self):
        """Return the newest call to a Worker or supervisor."""
        return [call for call in self.engine.calls.values() if call.direction == "outbound-api"][-1]

    def alert_codes(self):
        return [effect.code for effect in self.effects if isinstance(effect, Alert)]

    def requests(self):
        """Return the path and the parameters of each TwiML request."""
        requests = [effect for effect in self.effects if isinstance(effect, FetchTwiml)]
        return [(request.url.removeprefix(APP), request.parameters) for request in requests]


def steps(call):
    return [step["step"] for step in call.steps]
