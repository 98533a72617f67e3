"""The guides match the code, and the workflows pin their actions."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click import Group

from app import app
from chalicelib.routes.callbacks import twilio_routes
from infra.__main__ import main
from infra.aws import api_settings, capacity, stage_config, template
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


def test_every_path_in_the_security_guide_exists():
    paths = set(re.findall(r"`((?:tests|chalicelib|infra|\.github)/[\w./]*)`", SECURITY))
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_actions_are_pinned_by_commit(workflow):
    actions = re.findall(r"uses: (\S+)", workflow.read_text(encoding="utf-8"))
    assert actions
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in actions)


def test_documented_memory_and_timeouts_match_the_configuration():
    functions = stage_config.project()["stages"]["prod"]["lambda_functions"]
    for name, unit in (("memory_size", "MB"), ("timeout", "s")):
        row = "memory" if name == "memory_size" else "timeout"
        api, sweep = (
            functions[function][f"lambda_{name}"] for function in ("api_handler", "sweep")
        )
        assert f"| {row} | {api} {unit} | {sweep} {unit} |" in DEPLOY


def throttles(concurrency, oidc_issuer=""):
    """Return each throttle by path and method; ``*`` stands for all other methods."""
    stage = SimpleNamespace(
        settings=SimpleNamespace(
            callback_prefixes=("",),
            tutorial_routes=False,
            console_agents=150,
            oidc_issuer=oidc_issuer,
        )
    )
    return {
        (setting.path[1:].replace("~1", "/"), setting.method): setting.throttle
        for setting in api_settings._method_settings(stage, concurrency)
    }


def test_documented_throttles_match_code():
    methods = (
        ("/assignment_callback", "POST"),
        ("/event_callback", "POST"),
        ("/reservations/{sid}/accept", "POST"),
        ("/create-task", "POST"),
        ("*", "*"),
    )
    for concurrency in (10, 50, 100, 1_000):
        found = throttles(concurrency)
        cells = [f"{found[method].rate:,g}/s, {found[method].burst:,}" for method in methods]
        row = (f"{concurrency:,}", *cells, str(capacity.alarm_threshold(concurrency)))
        assert f"| {' | '.join(row)} |" in DEPLOY


@pytest.mark.parametrize("concurrency", [10, 50, 100, 1_000])
def test_documented_throttles_with_an_identity_provider_match_code(concurrency):
    found = throttles(concurrency, "https://login.example.com")
    methods = (
        ("/reservations/{sid}/accept", "POST"),
        ("/create-task", "POST"),
        ("/console/sign-in", "GET"),
    )
    cells = [f"{found[method].rate:,g}/s, {found[method].burst:,}" for method in methods]
    sign_in = found["/console/sign-in", "GET"]
    row = (f"{concurrency:,}", *cells, str(int(sign_in.burst + 60 * sign_in.rate)))
    assert f"| {' | '.join(row)} |" in DEPLOY


def test_documented_costs_add_up_and_include_every_alarm():
    rows = re.findall(r"^\| (.+?) \|.*\| \$([\d.]+) \|$", DEPLOY, re.MULTILINE)
    costs = {name: float(cost) for name, cost in rows}
    total = costs.pop("total")
    assert round(sum(costs.values()), 2) == total
    alarms = templates.of_type(template.read(), "AWS::CloudWatch::Alarm")
    assert costs[f"{len(alarms)} alarms"] == round(len(alarms) * 0.10, 2)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_paths_of_documented_urls_on_aws_begin_with_a_stage(page):
    text = page.read_text(encoding="utf-8")
    stages = re.findall(r"execute-api\S*amazonaws\.com/(\w+)|…\.amazonaws\.com/(\w+)", text)
    assert {"".join(groups) for groups in stages} <= {"STAGE", "dev", "prod"}


def test_runbook_keeps_every_parameter_of_the_stack_during_an_import():
    (command,) = re.findall(r"create-change-set .*?resources-to-import", OPERATIONS, re.DOTALL)
    keys = re.findall(r"ParameterKey=(\w+)", command)
    assert sorted(keys) == sorted(template.read()["Parameters"])


def documented_json(key):
    """Return the JSON document with this top-level key from the security guide."""
    blocks = re.findall(r"```json\n(.*?)```", SECURITY, re.DOTALL)
    (document,) = (block for block in map(json.loads, blocks) if key in block)
    return document


def test_documented_waf_template_is_valid(tmp_path):
    file = tmp_path / "waf.json"
    file.write_text(json.dumps(documented_json("Resources")))
    command = [Path(sys.executable).with_name("cfn-lint"), "--regions", "eu-west-1", "--", file]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.stdout == ""


def test_documented_waf_rule_applies_to_exactly_the_routes_called_by_twilio():
    rules = documented_json("Resources")["Resources"]["WebAcl"]["Properties"]["Rules"]
    regex = rules[0]["Statement"]["AndStatement"]["Statements"][0]["RegexMatchStatement"]
    matching = {path for path in app.routes if re.search(regex["RegexString"], f"/prod{path}")}
    assert matching == {path for path, _ in twilio_routes(app)}


def test_documented_resource_policy_applies_to_exactly_the_callback_routes():
    denied = documented_json("Statement")["Statement"][1]["Resource"]
    patterns = [re.escape(resource).replace(r"\*", ".*") for resource in denied]
    for secret in ("", "/first-secret_0123456"):
        for path in app.routes:
            resource = f"execute-api:/prod/POST{secret}{path}"
            is_denied = any(re.fullmatch(pattern, resource) for pattern in patterns)
            assert is_denied == ("_callback" in path)


def test_documented_capacity_of_open_methods_matches_code():
    count = sum(map(len, app.routes.values())) - len(twilio_routes(app))
    low, high = (
        sum(
            found.get((path, method), found["*", "*"]).rate
            for path, methods in app.routes.items()
            for method in methods
            if (path, method) not in twilio_routes(app)
        )
        for found in (throttles(10), throttles(1_000))
    )
    assert low < 100
    assert (
        f"other {count} methods stay open. With the default concurrency of 1,000, they accept "
        f"a total of {round(high):,} requests per second. With a concurrency of 10, they accept "
        f"{round(low)}, which is less than the 100 that Lambda then allows"
    ) in SECURITY
