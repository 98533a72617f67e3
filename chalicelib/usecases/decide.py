"""Accept, reject or complete a Reservation.

A decision claims the Reservation, sends a request to TaskRouter, and records the outcome.
The claim ensures that only one caller at a time sends a request to TaskRouter. Other callers that
request the same status wait for the outcome.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import (
    BadRequest,
    OutcomeUnknown,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterNotProcessed,
    TaskRouterRefused,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import (
    ACHIEVED,
    MOVES,
    Claim,
    RemoteReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from chalicelib.usecases import sent_instruction
from chalicelib.usecases.deadlines import INSTRUCTION_CHECK_MS, LATEST_REQUEST_MS, require_time
from chalicelib.usecases.find_reservation import find_unrecorded
from chalicelib.usecases.observe import record_remote_reservation
from chalicelib.usecases.ports import Collaborators

_POLL_SECONDS = 0.1

BY_FETCH = "fetch"
"""Source of a fetched status that the caller's request may not have caused."""

_ACTIONS = {
    Status.ACCEPTED: Action.ACCEPT_RESERVATION,
    Status.REJECTED: Action.REJECT_RESERVATION,
    Status.COMPLETED: Action.COMPLETE_RESERVATION,
}


@dataclass(frozen=True)
class Decision:
    """A request to accept, reject or complete a Reservation.

    Attributes:
        target: the status to request from TaskRouter.
        reservation_sid: WR….
        principal: the caller.
        task_sid: WT…, if the caller specified the Task.
        activity_sid: WA… of the Activity that a rejection moves the Worker to, if any.
        instruction: the instruction to send instead of a plain accept, if any.
        unless_ringing: whether to fail if a phone may be ringing.
    """

    target: Status
    reservation_sid: str
    principal: Principal
    task_sid: str | None = None
    activity_sid: str | None = None
    instruction: Instruction | None = None
    unless_ringing: bool = False


def decide(
    decision: Decision, collaborators: Collaborators, *, started: int | None = None
) -> Reservation:
    """Execute *decision* in TaskRouter; raise an error unless it succeeds.

    Args:
        decision: the requested change and the caller.
        collaborators: the services to use.
        started: epoch ms at which the API request started, if earlier than now.

    Returns:
        The Reservation, in a status that proves success. After an instruction is sent, the
        Reservation may still be pending. A repeated request sends no second instruction.

    Raises:
        Forbidden: the Reservation belongs to a different Worker.
        NotFound: the Reservation is not recorded, and either TaskRouter does not have it or the
            Task's SID is needed to find it.
        BadRequest: the Reservation does not belong to the Task that the caller specified.
        ReservationNotPending: the Reservation's status, or a status change that is in progress,
            rules out the decision.
        InstructionAlreadySent: a different instruction was sent, or a phone may be ringing.
        AnswerUnknown: the callback may have been answered with an instruction.
        ReservationGone: TaskRouter no longer has the Reservation.
        TaskRouterRefused: TaskRouter refused a request that the Reservation's status allows.
        TaskRouterDenied: TaskRouter rejected this service's credentials.
        TaskRouterNotProcessed: the request was not sent, or was throttled, so it had no effect.
        TaskRouterUnavailable: a Reservation that is not recorded could not be fetched.
        OutcomeUnknown: the outcome is not known yet.
        StoreUnavailable: DynamoDB failed before a request was sent to TaskRouter, or while this
            request waited for the outcome of another request.
    """
    clock = collaborators.clock
    started = clock.now_ms() if started is None else started
    claim, succeeded, record = _claim(decision, collaborators)
    if record is None:
        require_time(now=clock.now_ms(), started=started)
        _record_from_taskrouter(decision, collaborators)
        require_time(now=clock.now_ms(), started=started)
        claim, succeeded, record = _claim(decision, collaborators)
    if record is None:
        raise OutcomeUnknown.until(
            None, now=started, message="The Reservation is not recorded yet."
        )
    if not succeeded:
        return _await_outcome(decision, record, claim, collaborators, started)
    return _Execution(decision, record, claim, collaborators, started).run()


def _claim(
    decision: Decision, collaborators: Collaborators
) -> tuple[Claim, bool, Reservation | None]:
    now, instruction = collaborators.clock.now_ms(), decision.instruction
    forbids_ringing = decision.unless_ringing or instruction is not None
    claim = Claim(
        until=now + collaborators.deadlines.claim_lease * 1000,
        target=decision.target,
        claim_id=collaborators.new_id(),
        by=decision.principal.name,
        accepts=decision.target is Status.ACCEPTED and (not instruction or instruction.accepts),
        instruction=instruction.answer if instruction else None,
        unless_ringing=decision.unless_ringing,
        needs_answer=forbids_ringing and collaborators.answer_may_ring,
    )
    try:
        succeeded, record = collaborators.store.claim(
            decision.reservation_sid,
            claim,
            now=now,
            worker_sid=decision.principal.confined_to(_ACTIONS[decision.target]),
            task_sid=decision.task_sid,
        )
    except StoreUnavailable as failure:
        # If the claim was written despite the error, continue: no other request can use the claim.
        try:
            record = collaborators.store.get(decision.reservation_sid)
        except StoreUnavailable:
            sent_instruction.release_unused(claim, decision.reservation_sid, collaborators, failure)
            raise failure from None
        if record is None or record.claim is None or record.claim.claim_id != claim.claim_id:
            raise
        succeeded = True
    return claim, succeeded, record


def _record_from_taskrouter(decision: Decision, collaborators: Collaborators) -> None:
    """Record a Reservation whose callback never arrived, if the caller may access it."""
    remote = find_unrecorded(
        decision.reservation_sid,
        task_sid=decision.task_sid,
        principal=decision.principal,
        action=_ACTIONS[decision.target],
        taskrouter=collaborators.taskrouter,
    )
    record_remote_reservation(
        remote,
        store=collaborators.store,
        deadlines=collaborators.deadlines,
        now=collaborators.clock.now_ms(),
        by=decision.principal.name,
    )


def _await_outcome(
    decision: Decision,
    record: Reservation,
    claim: Claim,
    collaborators: Collaborators,
    started: int,
) -> Reservation:
    """Report why the claim failed, or wait for the current claim's outcome."""
    decision.principal.authorize(_ACTIONS[decision.target], worker_sid=record.worker_sid)
    if decision.task_sid not in (None, record.task_sid):
        raise BadRequest("The Reservation does not belong to the Task in task_sid.")
    now = collaborators.clock.now_ms()
    sent_instruction.require_answer(claim, record, now=now)
    deadline = started + LATEST_REQUEST_MS
    answer, is_known_to_be_sent = claim.instruction, sent_instruction.is_known_to_be_sent
    while not is_known_to_be_sent(answer, record) and decision.target in MOVES[record.status]:
        now = collaborators.clock.now_ms()
        live = record.live_claim(now)
        if live and live.target is not decision.target:
            raise ReservationNotPending(
                f"Another request is changing the Reservation's status to {live.target}.",
                reservation_status=record.status,
            )
        if live is None or now >= deadline:
            is_repeated = answer is not None and record.ringing_instruction == answer
            build = sent_instruction.outcome_unknown if is_repeated else OutcomeUnknown.until
            raise build(live.until if live else None, now=now)
        collaborators.clock.sleep(_POLL_SECONDS)
        record = collaborators.store.get(record.reservation_sid) or record
    return _outcome(decision, record, collaborators.clock.now_ms())


@dataclass(frozen=True)
class _Execution:
    """Executes a decision whose claim succeeded."""

    decision: Decision
    record: Reservation
    claim: Claim
    collaborators: Collaborators
    started: int

    def run(self) -> Reservation:
        """Send the request to TaskRouter and record the outcome."""
        decision, taskrouter = self.decision, self.collaborators.taskrouter
        sid, task_sid = self.record.reservation_sid, self.record.task_sid
        try:
            require_time(now=self.collaborators.clock.now_ms(), started=self.started)
            if decision.instruction:
                remote = taskrouter.send_instruction(
                    sid, task_sid=task_sid, instruction=decision.instruction
                )
            else:
                remote = taskrouter.update_reservation(
                    sid, task_sid=task_sid, to=decision.target, activity_sid=decision.activity_sid
                )
        except TaskRouterNotFound:
            return self._settle_gone()
        except (TaskRouterDenied, TaskRouterNotProcessed) as failure:
            if not self._release_claim() and failure.retry_after:
                failure.retry_after = self._outcome_unknown(failure).retry_after
                if decision.instruction:
                    sent_instruction.advise_plain_accept(failure)
            raise
        except TaskRouterRefused as refusal:
            return self._settle_refused(refusal)
        except TaskRouterUnavailable as failure:
            remote = self._fetch_after(failure)
        else:
            if decision.instruction:
                return self._settle_sent(remote)
        return self._settle(self.record, remote.status, worker_name=remote.worker_name)

    def _fetch_after(self, failure: TaskRouterUnavailable) -> RemoteReservation:
        """Fetch the Reservation after a failed request; return it if its status changed.

        Raises:
            OutcomeUnknown: TaskRouter may still process the request, so the claim is kept.
        """
        # If the fetch fails too, the first failure is reported. The sweep will fetch again.
        with suppress(TaskRouterError):
            remote = self._fetch()
            if remote.status is not self.record.status:
                return remote
        raise self._outcome_unknown(failure) from failure

    def _settle(
        self,
        record: Reservation,
        status: Status,
        *,
        is_refused: bool = False,
        worker_name: str | None = None,
        note: str | None = None,
    ) -> Reservation:
        """Record the status that TaskRouter reported, unless the record has a later status.

        *record* indicates whether the instruction of this request, if any, was sent. If TaskRouter
        refused the request (*is_refused*), a different request may have caused the status.
        """
        now, settled = self.collaborators.clock.now_ms(), None
        caller, claim = self.decision.principal.name, self.claim
        is_sent = claim.instruction is None or record.instruction_acceptor == caller
        update = StatusUpdate(
            status=status,
            at=now,
            by=caller if is_sent and not is_refused else BY_FETCH,
            next_check_at=self._next_check(status, now),
            worker_name=worker_name,
            note=note,
        )
        # If the write fails, the caller still gets the outcome, because TaskRouter has decided.
        # The sweep corrects the record when the claim expires.
        with suppress(StoreUnavailable):
            _, settled = self.collaborators.store.record_status(record.reservation_sid, update)
        updated = settled or replace(record, status=status, worker_name=worker_name)
        if claim.instruction is not None:
            updated = replace(updated, instruction_sent=record.instruction_sent)
        return _outcome(self.decision, updated, now)

    def _settle_sent(self, remote: RemoteReservation) -> Reservation:
        """Confirm the instruction; TaskRouter may take minutes to execute it.

        An event or the sweep will report the new status. If the write fails, the claim expires.
        """
        record, sent = self.record, self.record.instruction_sent
        due_at = self.collaborators.clock.now_ms() + INSTRUCTION_CHECK_MS
        with suppress(StoreUnavailable):
            self.collaborators.store.confirm_sent(record.reservation_sid, self.claim, due_at=due_at)
        record = replace(record, instruction_sent=sent and replace(sent, is_confirmed=True))
        if remote.status is Status.PENDING:
            return record
        return self._settle(record, remote.status, worker_name=remote.worker_name)

    def _settle_refused(self, refusal: TaskRouterRefused) -> Reservation:
        """Record the status after a refused request; raise *refusal* if the status is unchanged."""
        record, instruction = self.record, self.claim.instruction
        # A refused instruction was not executed, regardless of the status, so remove it from the
        # record.
        if instruction is not None:
            self._release_claim()
            record = replace(record, instruction_sent=None)
        try:
            remote = self._fetch()
        except TaskRouterNotFound:
            return self._settle_gone()
        except TaskRouterError as error:
            if instruction is not None:
                raise refusal from error
            raise self._outcome_unknown(error) from error
        if instruction is None:
            self._release_claim()
        if remote.status is self.record.status:
            raise refusal
        return self._settle(record, remote.status, is_refused=True, worker_name=remote.worker_name)

    def _settle_gone(self) -> Reservation:
        """Record that the Reservation is gone, if TaskRouter confirms that the Workspace exists."""
        try:
            require_time(now=self.collaborators.clock.now_ms(), started=self.started)
            self.collaborators.taskrouter.verify_workspace()
        except TaskRouterError as error:
            raise self._outcome_unknown(error) from error
        return self._settle(self.record, Status.GONE, note="TaskRouter returned 404")

    def _fetch(self) -> RemoteReservation:
        require_time(now=self.collaborators.clock.now_ms(), started=self.started)
        return self.collaborators.taskrouter.fetch_reservation(
            self.record.reservation_sid, task_sid=self.record.task_sid
        )

    def _release_claim(self) -> bool:
        """Release the claim now. If the write fails, return False; the claim then expires."""
        record, now = self.record, self.collaborators.clock.now_ms()
        due_at = self._next_check(record.status, now) or now
        if record.status is Status.WRAPPING:
            completes_at = self.collaborators.deadlines.completes_at(record.history[-1].at)
            due_at = min(due_at, completes_at or due_at)
        with suppress(StoreUnavailable):
            self.collaborators.store.release_claim(
                record.reservation_sid,
                self.claim,
                due_at=due_at,
                acceptor=record.instruction_acceptor,
            )
            return True
        return False

    def _outcome_unknown(self, failure: TaskRouterError) -> OutcomeUnknown:
        build = sent_instruction.outcome_unknown if self.claim.instruction else OutcomeUnknown.until
        return build(self.claim.until, now=self.collaborators.clock.now_ms(), failure=failure)

    def _next_check(self, status: Status, now: int) -> int | None:
        return self.collaborators.deadlines.next_check(
            status,
            now=now,
            reserved_at=self.record.reserved_at,
            expires_at=self.record.expires_at,
        )


def _outcome(decision: Decision, record: Reservation, now: int) -> Reservation:
    """Return *record* if it proves the decision's success; otherwise raise an error.

    A decision with an instruction succeeds when the instruction is sent, although the
    Reservation's status may take minutes to change. If the Reservation was accepted without the
    instruction, nobody was called, so the decision failed.
    """
    instruction, achieved = decision.instruction, ACHIEVED[decision.target]
    if instruction:
        is_known = sent_instruction.is_known_to_be_sent(instruction.answer, record)
        achieved = achieved | {Status.PENDING} if is_known else frozenset()
    if record.status in achieved:
        return record
    if record.status is Status.GONE:
        raise ReservationGone("TaskRouter no longer has this Reservation.")
    if decision.target in MOVES[record.status]:
        claim = record.live_claim(now)
        raise OutcomeUnknown.until(claim.until if claim else None, now=now)
    raise ReservationNotPending(
        f"The Reservation's status is {record.status}.", reservation_status=record.status
    )
