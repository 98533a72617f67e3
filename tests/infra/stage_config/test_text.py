"""Mistakes in the text and in the structure of .chalice/config.json."""

import json

import pytest

from infra import OperatorError
from infra.aws import stage_config


def test_error_for_malformed_json_names_the_file(config):
    config.write_text("{")

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.environment("dev", {})


def test_byte_order_mark_is_reported_because_chalice_cannot_read_such_a_file(config):
    config.write_text("{}", encoding="utf-8-sig")

    with pytest.raises(OperatorError, match="without a byte order mark"):
        stage_config.environment("dev", {})


def test_file_that_is_not_utf_8_is_reported(config):
    config.write_text("{}", encoding="utf-16")

    with pytest.raises(OperatorError, match="Save the file as UTF-8"):
        stage_config.environment("dev", {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"stages": {}, "stages": {}}', 'it repeats the name "stages"'),
        ('{"stages": {"dev": {"a": 1, "a": 1}}}', 'it repeats the name "a" in stages.dev'),
        (
            '{"stages": {"dev": {"tags": {"b": "1",\n"b": "2"}}}}',
            'it repeats the name "b" in stages.dev.tags',
        ),
        (
            '{"stages": {"dev": {"layers": [[{"c": "1", "c": "2"}]]}}}',
            'it repeats the name "c" in stages.dev.layers',
        ),
        ("{", "Expecting property name enclosed in double quotes at line 1, column 2"),
        ('{"stages":\n  {"dev": }}', "Expecting value at line 2, column 11"),
        ("[" * 100_000, "a number has too many digits, or values are nested too deeply"),
        (f'{{"a": {"1" * 5000}}}', "a number has too many digits, or values are nested too deeply"),
    ],
    ids=range(8),
)
def test_mistake_in_the_text_is_described_in_a_sentence(config, text, problem):
    config.write_text(text)

    with pytest.raises(OperatorError) as error:
        stage_config.environment("dev", {})
    assert str(error.value) == f".chalice/config.json can't be read: {problem}."


def test_missing_file_is_described_in_a_sentence(config):
    config.unlink()

    with pytest.raises(OperatorError) as error:
        stage_config.environment("dev", {})
    assert str(error.value) == ".chalice/config.json can't be read: No such file or directory."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], 'must contain a JSON object with a "stages" key.'),
        (None, 'must contain a JSON object with a "stages" key.'),
        ({"stages": None}, '"stages" must be an object with one entry per stage.'),
        ({"stages": {"dev": None}}, "the stage dev must be an object."),
        ({"stages": {"dev": [1]}}, "the stage dev must be an object."),
        ({"stages": {"dev": "x"}}, "the stage dev must be an object."),
    ],
)
def test_error_for_a_file_of_the_wrong_shape_describes_the_expected_shape(config, content, problem):
    config.write_text(json.dumps(content))

    with pytest.raises(OperatorError, match=problem):
        stage_config.read("dev", allow_empty_sids=True)


def test_deeply_nested_file_is_refused(config):
    config.write_text("[" * 100_000)

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.read("dev")
