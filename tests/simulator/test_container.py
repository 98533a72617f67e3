"""The container image, built and run with Docker."""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from taskrouter_simulator.client import TaskRouter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIMULATOR = Path(__file__).parents[2] / "taskrouter_simulator"
TOKEN = "0123456789abcdef"
MAX_STARTUP_SECONDS = 60


def docker(*arguments):
    """Run a Docker command; return its output."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="module")
def image():
    if not shutil.which("docker"):
        pytest.skip("Docker is not installed")
    info = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if info.returncode:
        pytest.skip(f"`docker info` failed: {info.stderr.strip()}")
    name = f"taskrouter-simulator:test-{os.getpid()}"
    docker("build", "--tag", name, str(SIMULATOR))
    yield name
    docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def url(image):
    """Run a container; return its URL once Docker reports that the container is healthy."""
    settings = [f"SIMULATOR_CONTROL_TOKEN={TOKEN}", "HTTP_PROXY=http://127.0.0.1:9"]
    options = [option for setting in settings for option in ("--env", setting)]
    container = docker("run", "--detach", "--publish", "127.0.0.1::8002", *options, image)
    try:
        deadline = time.monotonic() + MAX_STARTUP_SECONDS
        while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
            assert time.monotonic() < deadline, docker("logs", container)
            time.sleep(0.5)
        yield f"http://{docker('port', container, '8002/tcp')}"
    finally:
        docker("rm", "--force", container)


def test_healthy_container_works_with_the_sdk_and_accepts_the_token(url):
    taskrouter = TaskRouter(url, TOKEN)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    assert [listed.sid for listed in workspace.tasks.list()] == [task.sid]
    taskrouter.reset()
    assert workspace.tasks.list() == []


@pytest.mark.parametrize("path", ["/simulator", "/simulator/portal"])
def test_container_denies_access_to_control_routes_and_portal_without_the_token(url, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as error:
        opener.open(url + path, timeout=5)
    error.value.close()
    assert error.value.code == 403
