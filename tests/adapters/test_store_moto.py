"""The conditional writes also work with moto, so they do not depend on a particular emulator."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
import yaml
from moto import mock_aws

from chalicelib.adapters.dynamodb.client import from_item, to_item
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.reservations import MOVES, OBSERVED, Claim, Status
from tests.adapters.test_store_state_machine import seed, status_update

TEMPLATE = Path(__file__).parents[2] / "infra" / "stage.yaml"
TABLE_PARAMETERS = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "BillingMode",
)


class _TemplateLoader(yaml.SafeLoader):
    """Loads a short-form CloudFormation function, such as `!Ref`, as None.

    The values of TABLE_PARAMETERS contain no such functions.
    """


_TemplateLoader.add_multi_constructor("!", lambda *_: None)


@pytest.fixture(scope="module")
def moto_store() -> Iterator[DynamoReservationStore]:
    with mock_aws():
        client = boto3.client(
            "dynamodb",
            region_name="us-east-1",
            aws_access_key_id="moto",
            aws_secret_access_key="moto",
        )
        resources = yaml.load(TEMPLATE.read_text(), _TemplateLoader)["Resources"]  # noqa: S506  a subclass of SafeLoader
        for name in ("Reservations", "State"):
            properties = resources[name]["Properties"]
            definition = {key: properties.get(key) for key in TABLE_PARAMETERS}
            client.create_table(
                TableName=name, **{key: value for key, value in definition.items() if value}
            )
        yield DynamoReservationStore(
            client,
            reservations_table="Reservations",
            state_table="State",
            retention_days=30,
        )


@pytest.mark.parametrize(("status", "update"), list(itertools.product(Status, Status)))
def test_status_is_recorded_only_if_the_transition_is_allowed(
    moto_store: DynamoReservationStore, status: Status, update: Status
) -> None:
    reservation_sid = seed(moto_store, status)

    changed, record = moto_store.record_status(reservation_sid, status_update(update))

    assert changed == (update in OBSERVED[status])
    assert record is not None
    assert record.status is (update if changed else status)


@pytest.mark.parametrize("status", Status)
def test_accept_can_be_claimed_only_from_an_allowed_status(
    moto_store: DynamoReservationStore, status: Status
) -> None:
    reservation_sid = seed(moto_store, status)
    claim = Claim(until=2, target=Status.ACCEPTED, claim_id="mine", by="tests")

    is_claimed, _ = moto_store.claim(reservation_sid, claim, now=1, worker_sid=None, task_sid=None)
    assert is_claimed == (Status.ACCEPTED in MOVES[status])


@pytest.mark.parametrize(
    ("answer", "can_be_claimed"),
    [
        (None, True),
        ({}, True),
        ({"instruction": "accept"}, True),
        ({"instruction": "dequeue", "timeout": 30}, False),
    ],
)
def test_claim_with_an_instruction_succeeds_once_unless_the_callback_answer_calls_a_phone(
    moto_store: DynamoReservationStore, *, answer: dict[str, object] | None, can_be_claimed: bool
) -> None:
    reservation_sid = seed(moto_store, Status.PENDING)
    if answer is not None:
        seeded = moto_store.get(reservation_sid)
        assert seeded is not None
        effective_answer = moto_store.record_callback(
            replace(seeded, answer=answer), due_at=2, now=1
        )
        assert effective_answer == answer
    call = {"instruction": "call", "timeout": 20}
    claims = [
        Claim(until=2, target=Status.ACCEPTED, claim_id=claim_id, by="tests", instruction=call)
        for claim_id in ("first", "second")
    ]

    results = []
    for claim in claims:
        is_claimed, record = moto_store.claim(
            reservation_sid, claim, now=1, worker_sid=None, task_sid=None
        )
        results.append(is_claimed)
        moto_store.confirm_sent(reservation_sid, claim, due_at=3)

    assert results == [can_be_claimed, False]
    assert record is not None
    assert record.ringing_instruction == (call if can_be_claimed else answer)


def test_lone_surrogates_are_stored_as_replacement_characters() -> None:
    item = to_item({"by": "supervisor:\ud800", "answer": {"to": ["a\udfff\U0001f600"]}})
    assert from_item(item) == {"by": "supervisor:\ufffd", "answer": {"to": ["a\ufffd\U0001f600"]}}
