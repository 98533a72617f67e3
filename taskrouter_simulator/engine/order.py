"""An instruction on its way: whom it is about, and what all instructions do alike."""

import json
from dataclasses import dataclass
from typing import Any

from taskrouter_simulator.engine import assignments
from taskrouter_simulator.engine.calls import ringing
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Reservation, Task, Workspace, parsed
from taskrouter_simulator.engine.parameters import Answer, InstructionError
from taskrouter_simulator.identifiers import new_sid


@dataclass(frozen=True)
class Order:
    """An instruction about to be carried out, on a pending Reservation."""

    engine: Engine
    workspace: Workspace
    reservation: Reservation
    answer: Answer

    @property
    def task(self) -> Task:
        """What is offered."""
        return self.workspace.tasks[self.reservation.task_sid]

    @property
    def task_attributes(self) -> dict[str, Any]:
        """The Task's, as an object."""
        return parsed(self.task.attributes)

    @property
    def contact_uri(self) -> Any:
        """Where the Worker is called, unless the instruction says otherwise."""
        worker = self.workspace.workers[self.reservation.worker_sid]
        return parsed(worker.attributes).get("contact_uri")

    def connect(self, pair: ringing.Legs | None, how: str, seconds: int | None) -> None:
        """Connect caller and Worker; where nobody here has called, accept at once."""
        if pair:
            ringing.connect(pair, how, seconds or ringing.RING_SECONDS)
        else:
            self.accept()

    def accept(self) -> None:
        """Have the Worker take the Task."""
        assignments.accept(self.engine, self.workspace, self.reservation)

    def call_worker(self, to: str, caller_id: str, code: int) -> ringing.Legs | None:
        """A leg to the Worker who was reserved for a caller; None where nobody here has called.

        Raises:
            InstructionError: with that code, if the caller does not wait any more.
        """
        call_sid = self.task_attributes.get("call_sid")
        try:
            return ringing.legs(
                self.engine,
                self.workspace,
                self.reservation,
                call_sid=call_sid,
                to=to,
                caller_id=caller_id,
            )
        except BadRequest as refusal:
            raise InstructionError(code, refusal.message) from refusal

    def note_worker_call(self, pair: ringing.Legs | None) -> None:
        """The Task tells the SID of the call to the Worker."""
        worker_call_sid = pair.worker.sid if pair else new_sid("CA")
        attributes = {**self.task_attributes, "worker_call_sid": worker_call_sid}
        self.task.attributes = json.dumps(attributes)
        self.engine.touch(self.task)
