"""Reading rules files: error messages, encodings and the shipped file."""

import tomllib
from pathlib import Path

import pytest

from chalicelib.adapters import rules_file
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.rules import parse_rules

INVALID_FILES = sorted((Path(__file__).parent / "bad_rules").glob("*.toml"))
VALID_CONTENT = b'[[rule]]\nname = "one"\ninstruction = "accept"\n'


@pytest.mark.parametrize("file", INVALID_FILES, ids=lambda file: file.stem)
def test_error_for_an_invalid_file_has_one_line_per_mistake(file: Path) -> None:
    comments = file.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    with pytest.raises(rules_file.RulesError) as error:
        rules_file.read(file)
    path = f"tests/domain/bad_rules/{file.name}"
    assert str(error.value).splitlines() == [
        f"{path}: {comment.removeprefix('# ')}" for comment in comments
    ]


def test_at_least_20_invalid_files_are_tested() -> None:
    assert len(INVALID_FILES) >= 20


@pytest.mark.parametrize("content", [b"\xff", b"a = " + b"[" * 9999, b"a = " + b"9" * 9999])
def test_unparsable_file_is_rejected(tmp_path: Path, content: bytes):
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    with pytest.raises(rules_file.RulesError, match=rf"^{file}: the file "):
        rules_file.read(file)


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf" + VALID_CONTENT, VALID_CONTENT.replace(b"\n", b"\r\n")]
)
def test_file_with_byte_order_mark_or_crlf_is_read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    assert [rule.name for rule in rules_file.read(file)] == ["one"]


@pytest.mark.parametrize("name", ["defer", "accept", "reject", "dequeue", "conference"])
def test_answer_to_unreadable_callbacks_may_be_any_instruction_that_needs_no_parameters(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(f'unreadable = "{name}"\n')
    rules = rules_file.load(file, default=Accept())
    assert (rules.unreadable.name, rules.default) == (name, Accept())


def test_default_answer_to_unreadable_callbacks_is_defer(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("")
    assert rules_file.load(file, default=Accept()).unreadable == Defer()


@pytest.mark.parametrize("name", ["", "missing.toml"])
def test_file_that_cannot_be_read_is_reported(tmp_path: Path, name: str):
    with pytest.raises(rules_file.RulesError, match="^The rules file .* can't be read"):
        rules_file.read(tmp_path / name)


def test_shipped_file_contains_no_rules() -> None:
    assert rules_file.read(rules_file.PROJECT / "chalicelib" / "rules.toml") == ()


def test_examples_in_the_shipped_file_are_valid() -> None:
    text = (rules_file.PROJECT / "chalicelib" / "rules.toml").read_text(encoding="utf-8")
    examples = text[text.index("# [[rule]]") :].replace("# ", "").replace("#", "")
    assert [rule.name for rule in parse_rules(tomllib.loads(examples))] == ["VIPs at once", "calls"]
