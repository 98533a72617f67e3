"""Files are read as YAML 1.2 or JSON; mistakes are reported with line and column if known."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrouter_simulator.definition import document
from taskrouter_simulator.definition.document import (
    DefinitionError,
    Document,
    Finding,
    parse,
    path_text,
    read_bytes,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda values: st.lists(values) | st.dictionaries(st.text(max_size=20), values, max_size=5),
    max_leaves=10,
)  # fmt: skip


def value(text):
    return parse(text.encode(), "f.yaml").value


def error(content):
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(DefinitionError) as caught:
        parse(content, "f.yaml")
    return str(caught.value)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 2, "\t"]))
def test_every_json_object_is_read(content, indent):
    assert value(json.dumps(content, indent=indent)) == content


FRAGMENTS = st.sampled_from(
    ["a: ", "- ", "? ", ": ", "\n", "  ", "\t", "{", "}", "[", "]", ",", "'", '"', "#", "|", ">-",
     "&x ", "*x", "!", "!!str ", "%YAML 1.1", "%TAG ! x", "---", "...", "\\u00", "<<: ", "@", "`",
     "\x00", "\ufeff", "\x85", "1", "~"]
)  # fmt: skip


@given(st.lists(FRAGMENTS | st.text(max_size=3), max_size=12).map("".join))
@settings(max_examples=300)
def test_any_text_is_read_or_rejected_with_a_one_line_message(text):
    message = "f.yaml: read"
    try:
        parse(text.encode("utf-8", "surrogatepass"), "f.yaml")
    except DefinitionError as error:
        message = str(error)
    assert re.fullmatch(r"f\.yaml(:\d+:\d+)?: \w.*", message)


@given(st.dictionaries(st.text(max_size=20), JSON))
@settings(max_examples=30)
def test_json_in_yaml_has_the_same_value(content):
    assert value("a: " + json.dumps(content)) == {"a": content}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1), ("-1", -1), ("+1", 1), ("007", 7), ("1.5", 1.5), (".5", 0.5), ("-1.", -1.0),
        ("1e3", 1000.0), ("1E-1", 0.1), ("true", True), ("True", True), ("TRUE", True),
        ("false", False), ("null", None), ("Null", None), ("~", None), ("", None),
        ("tRUE", "tRUE"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("Y", "Y"),
        ("0x1f", "0x1f"), ("0o7", "0o7"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("1.2.3", "1.2.3"), ("2026-01-01", "2026-01-01"), (".inf", ".inf"), (".nan", ".nan"),
        ("NaN", "NaN"), ("'true'", "true"), ('"1"', "1"), ("! 1", "1"), ("|\n  1\n", "1\n"),
        (">-\n  a\n  b\n", "a b"), ("<<", "<<"), ("=", "="), ("\n -", [None]),
        ("[a, 'b', 1]", ["a", "b", 1]), ("{b: c}", {"b": "c"}), ("a#b", "a#b"), ("a # b", "a"),
        ("Zoë 🙂", "Zoë 🙂"), ('"\\ud83d\\ude42"', "🙂"), ('"\\ud83d"', "\ud83d"),
        ("9" * 300, int("9" * 300)),
    ],
)  # fmt: skip
def test_scalars_have_the_types_of_yaml_1_2(text, expected):
    found = value(f"a: {text}")["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' occurs twice"),
        ('{"a": 1,\n "a": 1}', "f.yaml:2:2: the key 'a' occurs twice"),
        ("a: &x 1", "f.yaml:1:4: anchors and aliases are not supported; repeat the value"),
        ("a: &x [1]", "f.yaml:1:4: anchors and aliases are not supported; repeat the value"),
        ("a:\n - *x", "f.yaml:2:4: anchors and aliases are not supported; repeat the value"),
        ("*x : 1", "f.yaml:1:1: anchors and aliases are not supported; repeat the value"),
        ("a: !!str 1", "f.yaml:1:4: tags such as tag:yaml.org,2002:str are not supported"),
        ("a: !x [1]", "f.yaml:1:4: tags such as !x are not supported"),
        ("a: ! [1]", "f.yaml:1:4: tags such as ! are not supported"),
        ("a:\n\tb: 1", "f.yaml:2:1: the line is indented with a tab; indent with spaces"),
        ("a:\n  - b\n \t- c", "f.yaml:3:2: the line is indented with a tab; indent with spaces"),
        ("a: 1\n---\nb: 1", "f.yaml:2:1: the file must contain one YAML 1.2 document"),
        ("%YAML 1.1\n---\na: yes", "f.yaml:2:1: the file must contain one YAML 1.2 document"),
        ("1: a", "f.yaml:1:1: a key must be a string in quotes, not 1"),
        ("true: a", "f.yaml:1:1: a key must be a string in quotes, not true"),
        ("~: a", "f.yaml:1:1: a key must be a string in quotes, not null"),
        ("1.5: a", "f.yaml:1:1: a key must be a string in quotes, not 1.5"),
        ("? [a]\n: b", "f.yaml:1:3: a key must be a string in quotes, not a list"),
        ("? {a: b}\n: b", "f.yaml:1:3: a key must be a string in quotes, not a mapping"),
        ("a: 1e999", "f.yaml:1:4: the number 1e999 is too large"),
        ("a: [1", "f.yaml:1:6: the file is not YAML: expected ',' or ']'"),
        ("a: b: c", "f.yaml:1:5: the file is not YAML: mapping values are not allowed here"),
        ("[" * 102, "f.yaml:1:102: values are nested more than 100 levels deep"),
        ('{"a":' * 3000, "f.yaml:1:502: values are nested more than 100 levels deep"),
        ('a: "\\U00110000"', "f.yaml: the file is not YAML: chr() arg not in range"),
        ('a: "\\UFFFFFFFF"', "f.yaml: the file is not YAML: Python int too large to convert"),
        ("%YAML 1.11\n---\na: 1", "f.yaml: the file is not YAML: version minor part can only be"),
        ("a: \x00", "f.yaml: the file is not YAML: unacceptable character #x0000"),
    ],
)
def test_mistake_is_described_with_its_position_if_known(text, message):
    assert error(text).startswith(message)


def test_nesting_100_levels_deep_is_allowed():
    assert value("[" * 101 + "]" * 101)


def test_yaml_1_2_directive_is_allowed():
    assert value("%YAML 1.2\n---\na: yes\n") == {"a": "yes"}


def test_empty_file_is_read_as_null():
    assert value("") is None
    assert value("# nothing\n") is None


def test_file_that_is_not_utf_8_is_rejected():
    message = "the file is not UTF-8; save it as UTF-8"
    assert error(b"a: 1\nb: \xff\n") == f"f.yaml:2:1: {message}"
    assert error("a: 1".encode("utf-16")) == f"f.yaml:1:1: {message}"


def test_byte_order_mark_is_ignored():
    assert parse("a: ü".encode("utf-8-sig"), "f").value == {"a": "ü"}


@pytest.mark.parametrize(
    "text", ["a: 1\nb:\n  - c\n  - d: 2\n", '{"a": 1,\n"b":\n\t["c", \n {"d": 2}]}']
)
def test_every_part_of_a_document_has_a_position(text):
    found = parse(text.encode(), "f")
    is_json = text.startswith("{")
    assert found.location(()) == "f:1:1"
    assert found.location(("a",)) == ("f:1:2" if is_json else "f:1:1")
    assert found.location(("b",)) == "f:2:1"
    assert found.location(("b", 0)) == ("f:3:3" if is_json else "f:3:5")
    assert found.location(("b", 1, "d")) == ("f:4:3" if is_json else "f:4:5")
    assert found.location(("b", 1, "x", 7)) == ("f:4:2" if is_json else "f:4:5")
    assert found.location(("x",)) == "f:1:1"
    assert found.position(("b", 1)) == ((4, 2) if is_json else (4, 5))


def test_json_that_is_not_yaml_has_no_positions():
    found = parse(json.dumps({"x" * 2000: 1, "b": 2}).encode(), "f")  # too long for a YAML key
    assert found.location(("b",)) == "f"
    assert found.position(("b",)) is None


def test_value_without_a_file_has_a_path_instead_of_a_line():
    found = Document("the value", {"a": [{"b": 1}]})
    assert found.position(("a",)) is None
    assert found.location(()) == "the value"
    assert found.location(("a", 0, "b")) == "the value: a[0]"
    assert found.location(("a", 0)) == "the value: a[0]"
    assert found.location(("a",)) == "the value"
    assert Document("", {}).location(("a", 0)) == "a[0]"


def test_path_text_resembles_an_expression_and_has_limited_length():
    assert path_text(("a", 0, "b", "c")) == "a[0].b.c"
    assert path_text(()) == ""
    assert len(path_text(("a" * 500,))) == 200


def test_error_reports_the_number_of_further_mistakes():
    findings = [Finding(("a",), "one"), Finding((), "two"), Finding((), "three")]
    found = Document("f", {})
    assert str(DefinitionError(found, findings[:1])) == "f: one"
    assert str(DefinitionError(found, findings[:2])) == "f: one (1 more mistake)"
    assert str(DefinitionError(found, findings)) == "f: one (2 more mistakes)"
    assert DefinitionError(found, findings).findings == findings


def test_yaml_above_the_size_limit_is_rejected_but_larger_json_is_read(monkeypatch):
    monkeypatch.setattr(document, "MAX_YAML_BYTES", 10)
    assert value("a: 1234567") == {"a": 1234567}
    assert error("a: 12345678") == (
        "f.yaml: the file has more than 10 bytes of YAML; write it as JSON, which is read faster"
    )
    assert value('  {"a": 1234567890}') == {"a": 1234567890}


def test_size_limits_match_the_documented_values():
    assert (document.MAX_BYTES, document.MAX_YAML_BYTES) == (64_000_000, 2_000_000)


def test_file_has_a_maximum_size(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "MAX_BYTES", 4)
    file = tmp_path / "f"
    file.write_bytes(b"a: 1")
    assert read_bytes(file) == b"a: 1"
    file.write_bytes(b"a: 12")
    with pytest.raises(DefinitionError, match="f: the file has more than 4 bytes$"):
        read_bytes(file)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev/zero")
def test_endless_file_is_rejected(monkeypatch):
    monkeypatch.setattr(document, "MAX_BYTES", 1000)
    with pytest.raises(DefinitionError, match="/dev/zero: the file has more than 1,000 bytes"):
        read_bytes(Path("/dev/zero"))


def test_folder_is_rejected(tmp_path):
    with pytest.raises(DefinitionError, match="the file cannot be read: Is a directory"):
        read_bytes(tmp_path)
