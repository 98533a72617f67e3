"""The file of rules: what is wrong in it, and the one that ships."""

import tomllib
from pathlib import Path

import pytest

from chalicelib.adapters import rules_file
from chalicelib.domain.rules import parse_rules

BAD = sorted((Path(__file__).parent / "bad_rules").glob("*.toml"))
GOOD = b'[[rule]]\nname = "one"\ninstruction = "accept"\n'


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_file_is_refused_with_a_line_for_each_mistake(file: Path) -> None:
    comments = file.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    with pytest.raises(rules_file.RulesError) as refused:
        rules_file.read(file)
    shown = f"tests/domain/bad_rules/{file.name}"
    assert str(refused.value).splitlines() == [
        f"{shown}: {comment.removeprefix('# ')}" for comment in comments
    ]


def test_there_are_bad_files_enough() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("content", [b"\xff", b"a = " + b"[" * 9999, b"a = " + b"9" * 9999])
def test_a_file_beyond_all_measure_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    with pytest.raises(rules_file.RulesError, match=rf"^{file}: the file "):
        rules_file.read(file)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"\n", b"\r\n")])
def test_a_file_may_be_written_on_windows(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    assert [rule.name for rule in rules_file.read(file)] == ["one"]


@pytest.mark.parametrize("name", ["", "nowhere.toml"])
def test_a_file_that_is_not_there_is_refused_by_the_settings_name(tmp_path: Path, name: str):
    with pytest.raises(rules_file.RulesError, match="^RULES_FILE names a file that can't be read"):
        rules_file.read(tmp_path / name)


def test_the_rules_that_ship_are_good_and_defer_everything() -> None:
    assert rules_file.read(rules_file.PROJECT / "chalicelib" / "rules.toml") == ()


def test_the_examples_in_the_rules_that_ship_are_good_too() -> None:
    text = (rules_file.PROJECT / "chalicelib" / "rules.toml").read_text(encoding="utf-8")
    examples = text[text.index("# [[rule]]") :].replace("# ", "").replace("#", "")
    assert [rule.name for rule in parse_rules(tomllib.loads(examples))] == ["VIPs at once", "calls"]
