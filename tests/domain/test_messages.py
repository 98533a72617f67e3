"""Messages that are logged and shown contain no private text."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain import messages
from chalicelib.domain.messages import public_text

TEXTS = st.text(min_size=4, max_size=40).filter(lambda text: "…" not in text)
NUMBERS = st.integers(1_000) | st.floats(1_000, allow_nan=False, allow_infinity=False)
ATTRIBUTES = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        TEXTS | NUMBERS, lambda members: st.lists(members) | st.dictionaries(st.text(), members)
    ),
    min_size=1,
    max_size=4,
)
SENTENCES = (
    "{}",
    "Bad value {} of name",
    "Name: {} is not allowed",
    "Attributes: {}{}",
    "x{}y is too long, and so is {}",
    'Value "{}" is not {}',
    "'{}' isn't {{{}}}",
)


@settings(max_examples=150, deadline=None)
@given(attributes=ATTRIBUTES, sentence=st.sampled_from(SENTENCES), data=st.data())
def test_no_value_of_a_submitted_attribute_is_repeated(attributes, sentence, data) -> None:
    text = json.dumps(attributes)
    values = [*messages._values_in(text)]
    if not values:
        return
    inserted = [data.draw(st.sampled_from(values)) for _ in range(sentence.count("{}"))]

    shown = public_text(sentence.format(*inserted), [text])

    for value in values:
        # The value may still occur by chance in the text around it.
        assert value not in shown or value in sentence


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Name Zoë Martinez is too long", "Name … is too long"),
        ("Name zoë martinez is too long", "Name … is too long"),
        ("Name Martin is cut off", "Name … is cut off"),
        ("Name Zoë   Martinez is too long", "Name … is too long"),
        ("Code AZ-4711X is unknown", "Code …X is unknown"),
        ('Note "say "hello" now" is bad', "Note … is bad"),
        ("Invalid attributes: stored value", "Invalid …"),
        ("Name: too long", "Name: too long"),
        ("It is not assigned", "It is not assigned"),
    ],
)
def test_parts_of_private_texts_are_removed_and_other_words_stay(message: str, shown: str) -> None:
    attributes = {"name": "Zoë Martinez", "code": "AZ-4711", "note": "it is not so"}

    assert public_text(message, [json.dumps(attributes)]) == shown
