"""docs/simulator.md is complete and matches the simulator's code."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from taskrouter_simulator import control
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.setting_values import environment_name
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import TaskRouter

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def row(setting):
    default = str(setting.default).lower() if isinstance(setting.default, bool) else setting.default
    default_cell = f"`{default}`" if default != "" else "none"
    return f"| `{environment_name(setting.name)}` | {default_cell} | {setting.metadata['help']} |"


def test_table_of_settings_matches_code():
    table = "| setting | default | description |\n|---|---|---|\n"
    table += "\n".join(row(setting) for setting in fields(Settings))
    documented = re.search("<!-- settings -->\n(.*)\n<!-- /settings -->", PAGE, re.DOTALL)
    assert documented.group(1) == table


UNDOCUMENTED = re.search("<!-- open -->\n(.*)\n<!-- /open -->", PAGE, re.DOTALL).group(1)
TESTS = "\n".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("*.py"))


def test_page_and_code_have_the_same_settings():
    settings_in_page = set(re.findall(r"SIMULATOR_[A-Z0-9_]+", PAGE))
    assert settings_in_page == {environment_name(setting.name) for setting in fields(Settings)}


@pytest.mark.parametrize("name", re.findall(r"SIMULATOR_([A-Z0-9_]+)", UNDOCUMENTED))
def test_every_setting_for_undocumented_behavior_is_set_in_a_test(name):
    assert re.search(rf"\b{name.lower()}\b(=|\": )", TESTS)


def test_every_control_route_is_documented():
    documented = set(re.findall(r"^\| `([A-Z]+ /simulator[a-z/{}]*)` \|", PAGE, re.MULTILINE))
    assert documented == {
        f"{method} {path}" for path, handlers in control.ROUTES.items() for method in handlers
    }


@pytest.mark.parametrize("name", [name for name in Fault.__dataclass_fields__ if name != "id"])
def test_every_fault_field_is_documented(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", [name for name in vars(TaskRouter) if not name.startswith("_")])
def test_every_taskrouter_method_is_documented(name):
    assert re.search(rf"`{name}\(", PAGE)


def test_documented_example_passes(taskrouter):
    name = "test_reservation_of_spanish_task_times_out"
    example = re.search(rf"^def {name}\(.*?(?=^```)", PAGE, re.DOTALL | re.MULTILINE)
    namespace = {}
    exec(example.group(), namespace)  # noqa: S102 - the code is in this repository
    namespace[name](taskrouter)
