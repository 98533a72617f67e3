"""UpdateItem requests contain only complete clauses, because DynamoDB refuses empty clauses."""

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.client import UpdateItem


def expression_of(update: UpdateItem) -> str:
    """Return the UpdateExpression that is sent. The local DynamoDB also accepts empty clauses."""
    sent: list[str] = []

    def update_item(**request: Any) -> dict[str, Any]:
        sent.append(request["UpdateExpression"])
        return {"Attributes": request["Key"]}

    update.run(SimpleNamespace(update_item=update_item), "table", {"sid": "WR1"})
    (expression,) = sent
    return expression.strip()


@pytest.mark.parametrize(
    ("update", "expression"),
    [
        (UpdateItem(set={"a": 1, "b": None, "c": 0}), "SET #a = :set_a, #c = :set_c"),
        (UpdateItem(set_if_absent={"a": 1}), "SET #a = if_not_exists(#a, :set_a)"),
        (UpdateItem(set_expressions=["#a = #b"]), "SET #a = #b"),
        (UpdateItem(remove=["a", "b"]), "REMOVE #a, #b"),
        (UpdateItem(set={"a": None}, remove=["b"]), "REMOVE #b"),
        (UpdateItem(set={"a": 1}, remove=["b"]), "SET #a = :set_a REMOVE #b"),
    ],
    ids=range(6),
)
def test_update_has_a_clause_only_for_attributes_that_change(
    update: UpdateItem, expression: str
) -> None:
    assert expression_of(update) == expression
