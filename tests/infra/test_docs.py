"""The guides match the code, and the workflows pin their actions."""

import re
from pathlib import Path

import pytest
from click import Group

from infra.__main__ import main
from infra.aws import capacity, stage_config
from tests.infra import templates

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def commands(group, prefix=""):
    for name, command in group.commands.items():
        if isinstance(command, Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("command", list(commands(main)))
def test_every_command_is_documented(command):
    assert re.search(rf"infra {command}\b", DEPLOY + OPERATIONS)


def test_no_unknown_command_is_documented():
    documented = set(re.findall(r"python -m infra ([a-z]+)", DEPLOY + OPERATIONS))
    assert documented <= set(main.commands)


def test_every_path_in_security_guide_exists():
    paths = set(re.findall(r"`((?:tests|chalicelib|infra|\.github)/[\w./]*)`", SECURITY))
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_actions_are_pinned_by_commit(workflow):
    actions = re.findall(r"uses: (\S+)", workflow.read_text(encoding="utf-8"))
    assert actions
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in actions)


def test_documented_memory_and_timeouts_match_configuration():
    functions = stage_config.project()["stages"]["prod"]["lambda_functions"]
    for name, unit in (("memory_size", "MB"), ("timeout", "s")):
        row = "memory" if name == "memory_size" else "timeout"
        api, sweep = (
            functions[function][f"lambda_{name}"] for function in ("api_handler", "sweep")
        )
        assert f"| {row} | {api} {unit} | {sweep} {unit} |" in DEPLOY


def test_documented_throttles_match_code():
    for concurrency in (10, 50, 100, 1_000):
        callback = capacity.callback_throttle(concurrency)
        default = capacity.default_throttle(concurrency)
        row = (
            f"| {concurrency:,} | {callback.rate:,}/s, {callback.burst:,} | "
            f"{default.rate:,}/s, {default.burst:,} | {capacity.alarm_threshold(concurrency)} |"
        )
        assert row in DEPLOY


def test_documented_costs_add_up_and_count_every_alarm():
    rows = re.findall(r"^\| (.+?) \|.*\| \$([\d.]+) \|$", DEPLOY, re.MULTILINE)
    costs = {name: float(cost) for name, cost in rows}
    total = costs.pop("total")
    assert round(sum(costs.values()), 2) == total
    alarms = templates.of_type(templates.read("stage.yaml"), "AWS::CloudWatch::Alarm")
    assert costs[f"{len(alarms)} alarms"] == round(len(alarms) * 0.10, 2)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_documented_urls_on_aws_begin_with_a_stage(page):
    text = page.read_text(encoding="utf-8")
    stages = re.findall(r"execute-api\S*amazonaws\.com/(\w+)|…\.amazonaws\.com/(\w+)", text)
    assert {one or other for one, other in stages} <= {"STAGE", "dev", "prod"}


def test_runbook_keeps_every_parameter_of_the_stack_during_an_import():
    (command,) = re.findall(r"create-change-set .*?resources-to-import", OPERATIONS, re.DOTALL)
    keys = re.findall(r"ParameterKey=(\w+)", command)
    assert sorted(keys) == sorted(templates.read("stage.yaml")["Parameters"])
