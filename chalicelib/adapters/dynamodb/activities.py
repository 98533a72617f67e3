"""The Activities of Workers, in the `state` table."""

from typing import Any

from chalicelib.adapters.dynamodb.client import UpdateItem, read_item, to_item, translate_errors
from chalicelib.domain.workers import WorkerActivity

_DAY_SECONDS = 86_400


class DynamoWorkerActivities:
    """Implements `chalicelib.usecases.ports.WorkerActivities` with DynamoDB.

    Args:
        client: a client created by `make_client`.
        state_table: the name of the `state` table.
        retention_days: number of days for which an Activity is kept.
    """

    def __init__(self, client: Any, *, state_table: str, retention_days: int) -> None:
        self._client = client
        self._table = state_table
        self._retention_days = retention_days

    def save(self, activity: WorkerActivity, *, now: int) -> bool:
        """Save a Worker's Activity unless a later one is stored; return whether it was saved."""
        update = UpdateItem(
            set={
                "worker_name": activity.worker_name,
                "activity_sid": activity.activity_sid,
                "activity_name": activity.activity_name,
                "changed_at": activity.changed_at,
                "ttl": now // 1000 + self._retention_days * _DAY_SECONDS,
            },
            conditions=["attribute_not_exists(#changed_at) OR #changed_at <= :set_changed_at"],
        )
        saved, _ = update.run(self._client, self._table, _key(activity.worker_sid))
        return saved

    def get(self, worker_sid: str) -> WorkerActivity | None:
        """Return a Worker's Activity, or None if it is unknown.

        The read is strongly consistent.
        """
        with translate_errors():
            item = read_item(self._client, self._table, to_item(_key(worker_sid)))
            if item is None:
                return None
            return WorkerActivity(
                worker_sid=worker_sid,
                worker_name=item.get("worker_name"),
                activity_sid=item["activity_sid"],
                activity_name=item["activity_name"],
                # Omit the milliseconds, which only determine the order of changes (docs/adr/0059).
                changed_at=item["changed_at"] // 1000 * 1000,
            )


def _key(worker_sid: str) -> dict[str, str]:
    return {"id": f"activity#{worker_sid}"}
