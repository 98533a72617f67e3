"""Stores idempotency keys and the search budget in the `state` table."""

import hashlib
from typing import Any

from chalicelib.adapters.dynamodb.client import UpdateItem, read_item, to_item, translate_errors
from chalicelib.domain.tasks import IdempotencyRecord

_DAY_SECONDS = 86_400
_MINUTE_SECONDS = 60
_SEARCHES_PER_SECOND = 3
"""TaskRouter's limit for Task lists filtered by EvaluateTaskAttributes (Twilio's changelog of
2024-10-18)."""


class DynamoIdempotencyStore:
    """Implements `chalicelib.usecases.ports.IdempotencyStore` with DynamoDB.

    Args:
        client: a client created by `make_client`.
        state_table: the name of the `state` table.
    """

    def __init__(self, client: Any, *, state_table: str) -> None:
        self._client = client
        self._table = state_table

    def acquire(
        self, key: str, fingerprint: str, *, owner: str, now: int, until: int
    ) -> IdempotencyRecord:
        """Acquire a key if it is unused; return its current record."""
        update = UpdateItem(
            set={
                "fingerprint": fingerprint,
                # Unlike the owner, the marker does not change if another request takes over.
                "marker": owner,
                "owner": owner,
                "until": until,
                "ttl": now // 1000 + _DAY_SECONDS,
            },
            remove=["answer"],
            # DynamoDB may delete expired items days later, so expired keys are treated as unused.
            conditions=["attribute_not_exists(#id) OR #ttl <= :now_seconds"],
            values={":now_seconds": now // 1000},
        )
        with translate_errors():
            _, item = update.run(self._client, self._table, _primary_key(key))
            return _to_record(item)

    def get_unscoped(self, key: str, *, now: int) -> IdempotencyRecord | None:
        """Return the record of a key that was stored before keys were scoped to callers, if any.

        An expired record is not returned.
        """
        with translate_errors():
            item = read_item(self._client, self._table, to_item(_primary_key(key)))
            return _to_record(item) if item and item["ttl"] > now // 1000 else None

    def take_over(self, key: str, *, owner: str, expired_at: int, until: int) -> bool:
        """Take over a key whose lease expired; return whether *owner* now holds it."""
        update = UpdateItem(
            set={"owner": owner, "until": until},
            conditions=["#until = :expired_at", "attribute_not_exists(#answer)"],
            values={":expired_at": expired_at},
        )
        is_taken_over, item = update.run(self._client, self._table, _primary_key(key))
        # If a response is lost, the client repeats the write. The condition then fails, although
        # the item already has this owner.
        return is_taken_over or item.get("owner") == owner

    def expire_lease(self, key: str, *, owner: str, now: int) -> None:
        """Expire a key's lease now, if *owner* still holds the key."""
        self._update_if_owner(key, owner, {"until": now})

    def save_response(self, key: str, response: dict[str, Any], *, owner: str) -> None:
        """Save the response for repeated requests, if *owner* still holds the key."""
        self._update_if_owner(key, owner, {"answer": response})

    def release(self, key: str, *, owner: str, now: int) -> None:
        """Release a key whose request created no Task, if *owner* still holds the key."""
        self._update_if_owner(key, owner, {"ttl": now // 1000})

    def _update_if_owner(self, key: str, owner: str, attributes: dict[str, Any]) -> None:
        update = UpdateItem(
            set=attributes, conditions=["#owner = :owner"], values={":owner": owner}
        )
        update.run(self._client, self._table, _primary_key(key))

    def consume_search_budget(self, *, now: int) -> bool:
        """Consume one search from this second's budget; return False if none was left."""
        update = UpdateItem(
            set={"ttl": now // 1000 + _MINUTE_SECONDS}, conditions=["attribute_not_exists(#id)"]
        )
        return any(
            update.run(self._client, self._table, {"id": f"search#{now // 1000}#{number}"})[0]
            for number in range(_SEARCHES_PER_SECOND)
        )


def _primary_key(key: str) -> dict[str, str]:
    """Return the primary key of the item, which contains only a hash of *key*."""
    return {"id": f"key#{hashlib.sha256(key.encode()).hexdigest()}"}


def _to_record(item: dict[str, Any]) -> IdempotencyRecord:
    return IdempotencyRecord(
        fingerprint=item["fingerprint"],
        marker=item.get("marker", ""),
        owner=item["owner"],
        until=item["until"],
        response=item.get("answer"),
    )
