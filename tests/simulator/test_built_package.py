"""The built wheel and source distribution, used without this repository."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import taskrouter_simulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
README = (ROOT / "taskrouter_simulator" / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(def test_.*?)```", README, re.DOTALL)[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
TEAM_TEST = f"""
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

{EXAMPLE}

class App(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_english = b"selected_language%22%3A+%22en%22" in body
        answer = b'{{"instruction": "accept"}}' if is_english else b"{{}}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def app_url():
    with HTTPServer(("127.0.0.1", 0), App) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{{server.server_port}}"
        server.shutdown()


@pytest.fixture(scope="session")
def taskrouter_settings(app_url):
    return {{"callback_base_url": app_url}}


def test_app_accepts_an_english_task(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    bob, idle = taskrouter.workers["Bob"], taskrouter.activities["Idle"]
    workspace.workers(bob).update(activity_sid=idle)
    task = workspace.tasks.create(attributes='{{"selected_language": "en"}}')
    taskrouter.advance()
    assert task.fetch().assignment_status == "assigned"
    assert [entry["status"] for entry in taskrouter.log("assignment")] == [200]
"""
"""A test file that another team could write after reading only the README."""


def run(*command, cwd, **options):
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def build(source, folder):
    """Build the distributions of a source folder; return the folder that contains them."""
    dist = folder / "dist"
    output = run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source, cwd=folder
    )
    assert "is absent from the `packages` configuration" not in output
    return dist


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    source = folder / "taskrouter_simulator"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "taskrouter_simulator", source, ignore=ignored)
    return build(source, folder)


@pytest.fixture(scope="module")
def wheel(dist):
    (file,) = dist.glob("taskrouter_simulator-*-py3-none-any.whl")
    return file


def file_names(wheel):
    return sorted(zipfile.ZipFile(wheel).namelist())


def test_twine_accepts_both_distributions(dist):
    files = list(dist.iterdir())
    assert sorted(file.suffix for file in files) == [".gz", ".whl"]
    output = run(BIN / "twine", "--no-color", "check", "--strict", *files, cwd=dist)
    assert output.count("PASSED") == 2


def test_wheel_rebuilt_from_the_unpacked_source_distribution_has_the_same_files(
    dist, wheel, tmp_path
):
    (archive,) = dist.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    (source,) = tmp_path.iterdir()
    (rebuilt,) = build(source, tmp_path).glob("*.whl")
    assert file_names(rebuilt) == file_names(wheel)


def test_wheel_has_the_version_of_the_package(wheel):
    assert wheel.name.split("-")[1] == taskrouter_simulator.__version__


def test_only_the_source_distribution_contains_the_files_for_the_container_image(dist, wheel):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        sources = {name.partition("/")[2] for name in source.getnames()}
    container = {".dockerignore", "Dockerfile", "requirements.txt"}
    assert container <= sources
    assert container.isdisjoint(name.partition("/")[2] for name in file_names(wheel))


def test_uvx_runs_the_wheel(wheel, tmp_path):
    command = [BIN / "uv", "tool", "run", "--from", wheel, "taskrouter-simulator", "--port", "0"]
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=tmp_path,
        env={**ENVIRONMENT, "UV_TOOL_DIR": str(tmp_path / "tools")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ready = process.stdout.readline()
            assert ready.startswith("TaskRouter simulator ready on http://127.0.0.1:"), (
                process.stderr.read() if process.poll() is not None else ready
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def test_another_teams_test_file_passes_in_an_empty_folder(wheel, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    run(BIN / "uv", "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    install = [BIN / "uv", "pip", "install", "--python", python, f"{wheel}[testing]"]
    run(*install, cwd=tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_support.py").write_text(TEAM_TEST, encoding="utf-8")
    output = run(python, "-m", "pytest", "-q", "-W", "error", cwd=project)
    assert "2 passed" in output
    assert [path.name for path in project.glob("*.py")] == ["test_support.py"]
