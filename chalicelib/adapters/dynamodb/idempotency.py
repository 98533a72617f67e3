"""Idempotency-Keys, in the table `state`: who took one, until when, and what came of it."""

import hashlib
from typing import Any

from chalicelib.adapters.dynamodb.client import Update
from chalicelib.domain.tasks import IdempotencyRecord

_DAY_SECONDS = 86_400
_MINUTE_SECONDS = 60
_SEARCHES_A_SECOND = 3
"""TaskRouter's limit on lists by EvaluateTaskAttributes (changelog of 2024-10-18)."""


class DynamoIdempotencyStore:
    """`chalicelib.usecases.ports.Keys` over a DynamoDB client.

    Args:
        client: from `chalicelib.adapters.dynamodb.client`.
        state_table: the name of the table `state`.
    """

    def __init__(self, client: Any, *, state_table: str) -> None:
        self._client = client
        self._table = state_table

    def take(
        self, key: str, fingerprint: str, *, owner: str, now: int, until: int
    ) -> IdempotencyRecord:
        """Take a key that nobody has used; tell how it stands now."""
        update = Update()
        update.set(
            fingerprint=fingerprint,
            owner=owner,
            taken_at=now,
            until=until,
            ttl=now // 1000 + _DAY_SECONDS,
        )
        # DynamoDB deletes an expired item only in its own time.
        expired = f"{update.name('ttl')} <= {update.value(now // 1000)}"
        update.only_if(f"attribute_not_exists({update.name('id')}) OR {expired}")
        update.remove("answer")
        _, item = self._run(update, key)
        return IdempotencyRecord(
            fingerprint=item["fingerprint"],
            owner=item["owner"],
            taken_at=int(item["taken_at"]),
            until=int(item["until"]),
            answer=_answer_of(item),
        )

    def take_over(self, key: str, *, owner: str, lapsed: int, until: int) -> bool:
        """Take a key whose lease lapsed at *lapsed*; tell whether nobody else did."""
        update = Update()
        update.set(owner=owner, until=until)
        update.only_if(f"{update.name('until')} = {update.value(lapsed)}")
        update.only_if(f"attribute_not_exists({update.name('answer')})")
        taken, item = self._run(update, key)
        # boto3 repeats a write whose answer was lost, and then finds its own.
        return taken or item.get("owner") == owner

    def give_back(self, key: str, *, owner: str, now: int) -> None:
        """Let one's lease lapse now."""
        update = Update()
        update.set(until=now)
        update.only_if(f"{update.name('owner')} = {update.value(owner)}")
        self._run(update, key)

    def keep(self, key: str, answer: dict[str, Any], *, owner: str) -> None:
        """Keep what came of it."""
        update = Update()
        update.set(answer=answer)
        update.only_if(f"{update.name('owner')} = {update.value(owner)}")
        self._run(update, key)

    def free(self, key: str, *, owner: str, now: int) -> None:
        """Forget a key under which nothing was created; whoever has it by now keeps it."""
        update = Update()
        update.set(ttl=now // 1000)
        update.only_if(f"{update.name('owner')} = {update.value(owner)}")
        self._run(update, key)

    def may_search(self, *, now: int) -> bool:
        """Count a search of TaskRouter by attribute; False where this second has had its share."""
        for number in range(_SEARCHES_A_SECOND):
            update = Update()
            update.set(ttl=now // 1000 + _MINUTE_SECONDS)
            update.only_if(f"attribute_not_exists({update.name('id')})")
            place = {"id": f"search#{now // 1000}#{number}"}
            if update.run(self._client, self._table, place)[0]:
                return True
        return False

    def _run(self, update: Update, key: str) -> tuple[bool, dict[str, Any]]:
        return update.run(self._client, self._table, {"id": _id_of(key)})


def _id_of(key: str) -> str:
    """Return the item's key; hashed, because callers put what they like into theirs."""
    return f"key#{hashlib.sha256(key.encode()).hexdigest()}"


def _answer_of(item: dict[str, Any]) -> dict[str, Any] | None:
    answer = item.get("answer")
    if answer is None:
        return None
    priority = answer.get("priority")
    return {**answer, "priority": None if priority is None else int(priority)}
