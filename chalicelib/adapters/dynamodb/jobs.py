"""Periodic jobs in DynamoDB: their state, the records that they read, and the sweep's result."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from chalicelib.adapters.dynamodb.client import (
    UpdateItem,
    from_item,
    read_all,
    to_due_reservation,
    to_item,
    translate_errors,
)
from chalicelib.domain.reservations import DueReservation, Status

LAST_SWEEP = "last_sweep"
"""The key of the last sweep's result."""

_PROGRESS = "done_until"
"""The attribute that stores the progress of a job. Each named part of a job has its own
attribute, with the suffix ``_PART``."""


class DynamoJobs:
    """Implements the job methods of `chalicelib.usecases.ports.ReservationStore`.

    Args:
        client: a client created by `make_client`.
        reservations_table: the name of the `reservations` table.
        state_table: the name of the `state` table.
    """

    def __init__(self, client: Any, *, reservations_table: str, state_table: str) -> None:
        self._client = client
        self._reservations = reservations_table
        self._state = state_table

    def start_periodic_job(
        self, job: str, *, now: int, retry_at: int, run_id: str
    ) -> tuple[bool, Mapping[str, int]]:
        """Start a periodic job if it is due; return whether it was started, and its progress.

        Only one caller can start the job.
        """
        update = UpdateItem(
            set={"at": now, "due_at": retry_at, "run_id": run_id},
            # If a response is lost, the client repeats the write and finds the job already started.
            conditions=["attribute_not_exists(#due_at) OR #due_at <= :now OR #run_id = :run_id"],
            values={":now": now, ":run_id": run_id},
        )
        started, item = update.run(self._client, self._state, {"id": job})
        return started, {
            name.removeprefix(_PROGRESS).removeprefix("_"): value
            for name, value in item.items()
            if name.startswith(_PROGRESS)
        }

    def save_progress(
        self, job: str, progress: Mapping[str, int], *, due_at: int | None = None
    ) -> None:
        """Save the times up to which parts of a job are complete.

        Nothing is saved if any part already has a later time.
        """
        times = {f"{_PROGRESS}_{part}".rstrip("_"): until for part, until in progress.items()}
        update = UpdateItem(
            set={**times, "due_at": due_at},
            conditions=[
                f"attribute_not_exists(#{name}) OR #{name} <= :set_{name}" for name in times
            ],
        )
        update.run(self._client, self._state, {"id": job})

    def save_sweep(self, result: Mapping[str, Any]) -> None:
        """Save the result of the last sweep."""
        with translate_errors():
            self._client.put_item(TableName=self._state, Item=to_item({"id": LAST_SWEEP, **result}))

    def due_reservations(self, status: Status, *, now: int) -> Iterator[DueReservation]:
        """Yield the due Reservations in an open status, longest overdue first."""
        request = {
            "TableName": self._reservations,
            "IndexName": "due",
            "KeyConditionExpression": "open_as = :status AND due_at <= :now",
            "ExpressionAttributeValues": to_item({":status": status.value, ":now": now}),
        }
        while True:
            with translate_errors():
                response = self._client.query(**request)
                due = [to_due_reservation(from_item(item), status) for item in response["Items"]]
            yield from due
            # An empty page ends the loop, so that the number of requests is limited.
            if not due or "LastEvaluatedKey" not in response:
                return
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    def fetch_statuses(self, reservation_sids: Collection[str]) -> dict[str, Status]:
        """Return the recorded statuses by Reservation SID, using eventually consistent reads."""
        items = read_all(
            self._client,
            self._reservations,
            [{"reservation_sid": sid} for sid in reservation_sids],
            ProjectionExpression="reservation_sid, #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        with translate_errors():
            return {item["reservation_sid"]: Status(item["status"]) for item in items}
