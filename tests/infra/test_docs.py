"""What the documents of the deployment name is there."""

import re
from pathlib import Path

import pytest
from click import Group

from infra.__main__ import main
from infra.aws import api_settings, stage_config

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def commands(group, before=""):
    for name, command in group.commands.items():
        if isinstance(command, Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


@pytest.mark.parametrize("command", list(commands(main)))
def test_every_command_is_described(command):
    assert re.search(rf"infra {command}\b", DEPLOY + OPERATIONS)


def test_no_command_is_described_that_is_not_there():
    described = set(re.findall(r"python -m infra ([a-z]+)", DEPLOY + OPERATIONS))
    assert described <= set(main.commands)


def test_what_shows_that_a_threat_is_held_exists():
    named = set(re.findall(r"`((?:tests|chalicelib|infra|\.github)/[\w./]*)`", SECURITY))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_actions_are_pinned_by_commit(workflow):
    used = re.findall(r"uses: (\S+)", workflow.read_text(encoding="utf-8"))
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one) for one in used)


def test_memory_and_time_outs_are_explained_as_they_are():
    functions = stage_config.project()["stages"]["prod"]["lambda_functions"]
    for name, unit in (("memory_size", "MB"), ("timeout", "s")):
        row = "memory" if name == "memory_size" else "timeout"
        api, sweep = (functions[one][f"lambda_{name}"] for one in ("api_handler", "sweep"))
        assert f"| {row} | {api} {unit} | {sweep} {unit} |" in DEPLOY


def test_the_throttles_are_explained_as_they_are():
    callbacks, rest = api_settings.CALLBACKS.rate, api_settings.EVERYBODYS.rate
    assert f"callbacks {callbacks:,}/s, everything else {rest}/s" in DEPLOY
