"""Tests of the Git hooks that `make hooks` installs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).parent.parent / ".pre-commit-config.yaml"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    for variable in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    shutil.copy(CONFIG, folder)
    subprocess.run(["git", "add", CONFIG.name], cwd=folder, check=True)
    return folder


def pre_commit(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_message(folder, message):
    file = folder / "message"
    file.write_text(message, encoding="utf-8")
    return pre_commit(
        folder, "run", "--hook-stage", "commit-msg", "--commit-msg-filename", str(file)
    )


@pytest.mark.parametrize(
    "message",
    [
        "S" * 72 + "\n",
        "Short subject\n\n" + "b" * 100 + "\n",
        "ä" * 72 + "\n",
    ],
)
def test_subject_of_up_to_72_characters_is_accepted(repository, message):
    result = check_message(repository, message)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("message", ["S" * 73 + "\n", "S" * 73, "S" * 73 + "\n\nBody\n"])
def test_subject_longer_than_72_characters_is_refused(repository, message):
    result = check_message(repository, message)
    assert result.returncode == 1
    assert "commit subject of at most 72 characters" in result.stdout


def test_install_creates_pre_commit_and_commit_msg_hooks(repository):
    result = pre_commit(repository, "install")
    assert result.returncode == 0, result.stdout + result.stderr
    hooks = repository / ".git" / "hooks"
    assert all((hooks / name).exists() for name in ("pre-commit", "commit-msg"))
