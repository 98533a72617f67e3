"""UpdateItem requests are valid for DynamoDB, and responses with a different item are rejected."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.adapters.dynamodb.client import UpdateItem
from chalicelib.domain.errors import StoreUnavailable


def expression_of(update: UpdateItem) -> str:
    """Return the UpdateExpression that is sent.

    The local DynamoDB can't check the expression, because it also accepts empty clauses.
    """
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
def test_update_expression_contains_no_empty_clause(update: UpdateItem, expression: str) -> None:
    assert expression_of(update) == expression


def run_with_failed_condition(**response: Any) -> tuple[bool, dict[str, Any]]:
    """Return the result of an update of the item WR1 whose condition fails."""

    def update_item(**_request: Any) -> dict[str, Any]:
        error = {"Error": {"Code": "ConditionalCheckFailedException"}, **response}
        raise ClientError(error, "UpdateItem")

    client = SimpleNamespace(update_item=update_item)
    return UpdateItem(set={"a": 1}).run(client, "table", {"sid": "WR1"})


def test_failed_condition_returns_the_current_item_or_an_empty_dictionary() -> None:
    item = {"sid": {"S": "WR1"}, "a": {"N": "5"}}
    assert run_with_failed_condition(Item=item) == (False, {"sid": "WR1", "a": 5})
    assert run_with_failed_condition() == (False, {})


@pytest.mark.parametrize("item", [{"sid": {"S": "WR2"}}, {"a": {"N": "5"}}])
def test_failed_condition_with_a_different_item_raises_an_error(item: dict[str, Any]) -> None:
    with pytest.raises(StoreUnavailable, match="can't be read"):
        run_with_failed_condition(Item=item)
