"""The voice menu and its setting."""

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import config
from chalicelib.domain.voice import QUICKSTART, Menu
from tests.test_config import COMPLETE

ES = {"digit": "1", "language": "es", "say": "Uno."}
EN = {"digit": "2", "language": "en", "say": "Two.", "default": True}


def test_default_menu_is_from_the_quickstart() -> None:
    menu = config.load(dict(COMPLETE)).voice_languages
    assert [(one.digit, one.language, one.say) for one in menu.languages] == [
        ("1", "es", "Para Español oprime el uno."),
        ("2", "en", "For English, please hold or press two."),
    ]
    assert menu.default.language == "en"


@pytest.mark.parametrize(
    ("digits", "language"),
    [("1", "es"), ("2", "en"), ("3", None), ("", None), ("12", None), ("*", None)],
)
def test_key_selects_a_language_or_nothing(digits: str, language: str | None) -> None:
    chosen = Menu.parse(QUICKSTART).selected(digits)
    assert (chosen.language if chosen else None) == language


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "must be JSON: it is not well-formed JSON"),
        ("{", "must be JSON: it is not well-formed JSON"),
        ("[NaN]", "must be JSON: NaN is not JSON"),
        ("{}", "must be a JSON list"),
        ("[]", "must be a JSON list"),
        ([7], "must list objects with digit, language and say"),
        ([{"digit": "1"}], "must list objects with digit, language and say"),
        ([{**EN, "dialect": "x"}], "has an unknown member dialect"),
        ([{**EN, "digit": "12"}], 'needs a digit, "0" to "9"'),
        ([{**EN, "digit": 2}], 'needs a digit, "0" to "9"'),
        ([{**EN, "digit": "٣"}], 'needs a digit, "0" to "9"'),
        ([{**EN, "language": "English, please"}], "needs a language such as es or es-MX"),
        ([{**EN, "language": ["en"]}], "needs a language such as es or es-MX"),
        ([{**EN, "say": ""}], "needs a text of at most 1000 characters as say"),
        ([{**EN, "say": "x" * 1001}], "needs a text of at most 1000 characters as say"),
        ([{**EN, "say": "a\u0000b"}], "must not contain control characters or line breaks in say"),
        ([{**EN, "say": "a\nb"}], "must not contain control characters or line breaks in say"),
        ([{**EN, "say": "a\u2028b"}], "must not contain control characters or line breaks in say"),
        ([{**EN, "say": "a\uffffb"}], "must not contain control characters or line breaks in say"),
        ([{**EN, "sorry": None}], "needs a text of at most 1000 characters as sorry"),
        ([{**EN, "voice": 7}], "needs a text of at most 1000 characters as voice"),
        ([{**EN, "default": "yes"}], "needs true or false as default"),
        ([{**EN, "default": 1}], "needs true or false as default"),
        ([{**EN, "default": []}], "needs true or false as default"),
        ([EN, {**ES, "digit": "2"}], "must not use a digit twice"),
        ([ES], 'needs "default": true in one entry'),
        ([EN, {**ES, "default": True}], 'needs "default": true in one entry'),
    ],
)
def test_invalid_menu_is_refused_with_its_reason(value: object, sentence: str) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(ValueError, match=sentence):
        Menu.parse(text)
    if text:
        with pytest.raises(config.SettingsError) as refused:
            config.load({**COMPLETE, "VOICE_LANGUAGES": text})
        assert str(refused.value).startswith(f"VOICE_LANGUAGES {sentence}")


@pytest.mark.parametrize(
    "text",
    [
        "Français\u00a0: appuyez sur le 1.",  # no-break space
        "می\u200cروم.",  # zero-width non-joiner
        "日本語は\u30001を押してください。",  # ideographic space
        "हिन्दी के लिए\u200d 1 दबाएँ",
        "Co\u00adoperate, 😀",
    ],
)
def test_text_in_any_script_is_accepted(text: str) -> None:
    menu = Menu.parse(json.dumps([{**EN, "say": text, "sorry": text}]))
    assert (menu.default.say, menu.default.sorry) == (text, text)


@given(st.text(min_size=1, max_size=5))
def test_any_accepted_text_can_be_written_in_twiml(text: str) -> None:
    try:
        said = Menu.parse(json.dumps([{**EN, "say": text}])).default.say
    except ValueError:
        return
    element = ET.Element("Say")
    element.text = said
    assert ET.fromstring(ET.tostring(element)).text == text  # noqa: S314  our own


def test_refusal_names_the_entry() -> None:
    with pytest.raises(ValueError, match=r"needs a digit, .* \(see entry 2\)$"):
        Menu.parse(json.dumps([EN, {**ES, "digit": "x"}]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*EN, "sorry"]), inner),
)


@given(JSON)
def test_any_value_is_parsed_or_raises_value_error(value: object) -> None:
    try:
        menu = Menu.parse(json.dumps(value))
    except ValueError:
        return
    assert menu.default in menu.languages
