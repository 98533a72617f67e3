"""The simulator's distribution package is complete; its README and Dockerfile match the code."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import taskrouter_simulator
from taskrouter_simulator import control, log
from taskrouter_simulator.client import TaskRouter
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.testing import running

SIMULATOR = Path(__file__).parents[2] / "taskrouter_simulator"
README = (SIMULATOR / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((SIMULATOR / "pyproject.toml").read_text(encoding="utf-8"))
DISTRIBUTIONS = {"ruamel": "ruamel-yaml", "jwt": "pyjwt"}
IMPORTED_BY_UVICORN = {"websockets"}
BUILD_OUTPUT = {"build", "taskrouter_simulator.egg-info", "__pycache__"}
PROJECT_FILES = {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "Dockerfile"}
PROJECT_FILES |= {".dockerignore", "requirements.txt"}
"""Project files, which are not package data."""
OPTIONAL_IMPORTS = {"client.py": "twilio", "testing.py": "pytest", "pytest_plugin.py": "pytest"}
"""Modules that may import a package from the `testing` extra, each with that package."""


def source_files():
    paths = (path.relative_to(SIMULATOR) for path in SIMULATOR.rglob("*") if path.is_file())
    return [path for path in paths if not BUILD_OUTPUT & set(path.parts)]


def test_every_package_is_included():
    folders = {path.parent for path in source_files() if path.suffix == ".py"}
    packages = {".".join(("taskrouter_simulator", *path.parts)) for path in folders}
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_data_file_is_included():
    included = {SIMULATOR / name for name in PROJECT_FILES}
    for name, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = SIMULATOR.joinpath(*name.split(".")[1:])
        included |= {path for pattern in patterns for path in folder.glob(pattern)}
    assert {SIMULATOR / path for path in source_files() if path.suffix != ".py"} == included


def imported_modules():
    """Yield each import's top-level name, and whether the `testing` extra provides the package."""
    for path in source_files():
        if path.suffix == ".py":
            tree = ast.parse((SIMULATOR / path).read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                top_level = {name.split(".")[0] for name in names}
                yield from ((name, name == OPTIONAL_IMPORTS.get(path.name)) for name in top_level)


def package_names(requirements):
    return {re.match("[a-z-]+", text).group() for text in requirements}


def test_dependencies_match_imports():
    not_required = {*sys.stdlib_module_names, "taskrouter_simulator"}
    third_party = {
        (DISTRIBUTIONS.get(name, name), testing)
        for name, testing in imported_modules()
        if name not in not_required
    }
    required = package_names(PROJECT["project"]["dependencies"]) - IMPORTED_BY_UVICORN
    assert {name for name, testing in third_party if not testing} == required
    extra = package_names(PROJECT["project"]["optional-dependencies"]["testing"])
    assert {name for name, testing in third_party if testing} == extra


def test_documented_container_accepts_only_local_clients_and_can_call_the_app():
    (command,) = re.findall(r"docker run --publish (?:.*\\\n)*.*", README)
    assert command.startswith("docker run --publish 127.0.0.1:8002:8002 ")
    assert "--add-host host.docker.internal:host-gateway " in command
    assert "--env SIMULATOR_CALLBACK_BASE_URL=http://host.docker.internal:8000 " in command
    assert "--env SIMULATOR_CONTROL_TOKEN " in command  # Docker passes the exported variable
    assert "export SIMULATOR_CONTROL_TOKEN=" in README


def test_container_image_installs_only_pinned_dependencies():
    pinned = (SIMULATOR / "requirements.txt").read_text(encoding="utf-8")
    names = set(re.findall("^([a-z-]+)==", pinned, re.MULTILINE))
    assert package_names(PROJECT["project"]["dependencies"]) <= names
    dockerfile = (SIMULATOR / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes" in dockerfile
    assert "--no-deps" in dockerfile


def test_readme_lists_every_control_route_and_method():
    for path, handlers in control.ROUTES.items():
        (methods,) = re.findall(rf"^\| (.*) {re.escape(path)}` \|", README, re.MULTILINE)
        assert set(re.findall("[A-Z]+", methods)) == set(handlers)
    names = [name for name in vars(TaskRouter) if not name.startswith("_")]
    assert [name for name in names if f"`{name}(" not in README] == []


def test_readme_lists_every_field_and_every_kind_of_fault():
    names = {*Fault.__dataclass_fields__, *log.KINDS, "latency", "error", "cut", "duplicate"}
    names -= {"id", "call", "alert"}
    assert [name for name in names if f"`{name}`" not in README] == []


def test_workspaces_in_the_readme_are_valid(taskrouter, tmp_path):
    (body,) = re.findall(r"```json\n(\{\n.*?)```", README, re.DOTALL)
    taskrouter.reset(json.loads(body))
    assert list(taskrouter.workers) == ["Zoe"]
    (content,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "workspace.yaml"
    file.write_text(content, encoding="utf-8")
    with running(workspace_file=file) as other:
        assert list(other.workers) == ["Zoe"]


def test_readme_installs_only_the_wheel_of_the_current_version():
    wheel = f"taskrouter_simulator-{taskrouter_simulator.__version__}-py3-none-any.whl"
    assert set(re.findall(r"[\w.-]+\.whl", README)) == {wheel}
    assert not re.search("(pip install|uvx) '?taskrouter", README)


def test_package_has_the_license_of_the_project():
    assert (SIMULATOR / "LICENSE").read_bytes() == (SIMULATOR.parent / "LICENSE").read_bytes()


def test_container_runs_as_a_numeric_user_and_listens_on_all_interfaces():
    dockerfile = (SIMULATOR / "Dockerfile").read_text(encoding="utf-8")
    assert re.search("^USER [1-9][0-9]*$", dockerfile, re.MULTILINE)
    assert "SIMULATOR_HOST=0.0.0.0" in dockerfile
    assert f'ENTRYPOINT ["{next(iter(PROJECT["project"]["scripts"]))}"]' in dockerfile


def health_check(port, **environment):
    """Run the container's health check on this machine; return the exit status."""
    dockerfile = (SIMULATOR / "Dockerfile").read_text(encoding="utf-8")
    _, *arguments = json.loads(re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", dockerfile)[1])
    environment = {**os.environ, "SIMULATOR_PORT": str(port), **environment}
    command = [sys.executable, *arguments]
    folder = SIMULATOR.parent
    result = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
    return result.returncode


def test_health_check_of_the_container_succeeds_only_while_the_simulator_runs():
    with running() as simulator:
        port = urlsplit(simulator.url).port
        assert health_check(port) == 0
    assert health_check(port) == 1


def test_health_check_of_the_container_ignores_proxies():
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    with running(control_token="0123456789abcdef") as simulator:
        assert health_check(urlsplit(simulator.url).port, **proxies, no_proxy="") == 0
