"""The deployment documents describe commands, files and values that exist."""

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
def test_every_command_is_documented(command):
    assert re.search(rf"infra {command}\b", DEPLOY + OPERATIONS)


def test_documented_commands_exist():
    documented = set(re.findall(r"python -m infra ([a-z]+)", DEPLOY + OPERATIONS))
    assert documented <= set(main.commands)


def test_files_cited_in_security_docs_exist():
    cited = set(re.findall(r"`((?:tests|chalicelib|infra|\.github)/[\w./]*)`", SECURITY))
    assert [path for path in sorted(cited) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_github_actions_are_pinned_by_commit(workflow):
    used = re.findall(r"uses: (\S+)", workflow.read_text(encoding="utf-8"))
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)


def test_documented_memory_and_timeouts_match_the_configuration():
    functions = stage_config.project()["stages"]["prod"]["lambda_functions"]
    for name, unit in (("memory_size", "MB"), ("timeout", "s")):
        row = "memory" if name == "memory_size" else "time-out"
        api, sweep = (functions[handler][f"lambda_{name}"] for handler in ("api_handler", "sweep"))
        assert f"| {row} | {api} {unit} | {sweep} {unit} |" in DEPLOY


def test_documented_throttles_match_the_configuration():
    callbacks = api_settings.CALLBACK_THROTTLE.rate
    default = api_settings.DEFAULT_THROTTLE.rate
    assert f"callbacks {callbacks:,}/s, all else {default}/s" in DEPLOY
