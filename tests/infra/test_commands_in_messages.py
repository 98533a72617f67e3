"""Commands in messages can be pasted into a shell."""

import ast
import re
import shlex
from itertools import chain

import click
import pytest

from infra.__main__ import main
from local.supervisor import ROOT

SOURCES = ("app.py", "chalicelib", "infra", "local", "taskrouter_simulator")
FILES = [path for name in SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*.py")]]
COMMAND = re.compile(
    r"(?:python -m infra|make (?:services|run|demo|setup|deploy|clean|destroy)\b|(?<!`)chalice "
    r"(?:deploy|package|local)\b)(?:[^.,;:`\n]|\.(?=\w))*"
)
PLACEHOLDER = "X"


def _text(node):
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) for value in values)
    return PLACEHOLDER


def _messages():
    """Yield the location and text of each string literal other than docstrings.

    Each interpolated value is replaced by X.
    """
    for path in FILES:
        if path.suffix != ".py":
            continue
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        parts = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
        docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
        skipped = {id(node) for node in chain(docstrings, *parts)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in skipped:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", _text(node)


MESSAGES = {location: text for location, text in _messages() if COMMAND.search(text)}


def test_messages_with_commands_are_found():
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("location", MESSAGES)
def test_no_punctuation_mark_follows_a_command(location):
    text = MESSAGES[location]
    following_text = [text[match.end() :][:2] for match in COMMAND.finditer(text)]
    assert not [mark for mark in following_text if re.fullmatch(r"[.,;:]\s?", mark)]


COMMANDS = sorted(
    {
        match[0].removeprefix("python -m infra").strip(" )")
        for text in MESSAGES.values()
        for match in re.finditer(r"python -m infra [a-z](?:[^.,;:`()]|\.(?=\w))*", text)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_infra_command_in_a_message_is_accepted(command):
    group, arguments = main, shlex.split(command)
    while isinstance(group, click.Group):
        group = group.commands[arguments.pop(0)]
    if "..." not in arguments:
        group.make_context("infra", arguments)
