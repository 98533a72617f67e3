"""Conditions and clauses that several updates of a Reservation's record share."""

from collections.abc import Collection, Mapping

from chalicelib.adapters.dynamodb.client import UpdateItem
from chalicelib.domain.reservations import RINGING, Claim, Status


def require_no_ringing(update: UpdateItem, claim: Claim) -> None:
    """Add conditions that fail if another instruction may ring a phone."""
    ringing = {f":{name}": name for name in RINGING}
    update.values |= ringing
    update.conditions += [
        "attribute_not_exists(#instruction_sent) OR #claim_id = :claim_id",
        f"NOT #answer.#instruction IN ({', '.join(ringing)})",
    ]
    if claim.needs_answer:
        # The service answers a fallback request even if the answer can't be recorded.
        update.conditions += ["attribute_exists(#answer)", "attribute_not_exists(#withheld)"]


def restore_acceptor(update: UpdateItem, acceptor: str | None) -> None:
    """Set the attribute ``acceptor``, or remove it if there is no acceptor."""
    update.set["acceptor"] = acceptor
    if acceptor is None:
        update.remove.append("acceptor")


def require_transition(
    update: UpdateItem, table: Mapping[Status, Collection[Status]], target: Status
) -> None:
    """Add the condition that *table* allows the record to change to *target*."""
    sources = {f":{status}": status.value for status in Status if target in table[status]}
    update.conditions.append(f"#status IN ({', '.join(sources)})")
    update.values |= sources
