"""Creates a checkout with installed dependencies, and the environment for its shell."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs_runner.pages import ROOT

# Without --fail-with-body, curl exits with 0 even if the HTTP status is 400 or higher, so a failed
# request would go unnoticed.
CURL = '#!/bin/sh\nexec {curl} --fail-with-body "$@"\n'
MARKER_FILES = (".uv", ".requirements-deploy", ".requirements-run", ".requirements-dev")
"""Files in .venv. If they exist, the Makefile treats the requirements as installed."""


def create(folder):
    """Create a Git repository with the project's files and a ready-to-use .venv.

    The project's files are tracked files and new files that Git does not ignore.
    """
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.rstrip("\0").split("\0"):
        if (source := ROOT / name).is_file() and not source.is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in MARKER_FILES:
            (environment / entry.name).symlink_to(entry)
    for name in MARKER_FILES:
        (environment / name).touch()


def environ(folder, **variables):
    """Return a shell environment whose PATH lacks the tests' virtual environment.

    Create *folder* with a wrapper for curl, and put *folder* first in PATH.
    """
    folder.mkdir()
    wrapper = folder / "curl"
    wrapper.write_text(CURL.format(curl=shlex.quote(shutil.which("curl"))))
    wrapper.chmod(0o755)
    venv_bin = Path(sys.prefix).resolve() / "bin"
    path = [
        part for part in os.environ["PATH"].split(os.pathsep) if Path(part).resolve() != venv_bin
    ]
    inherited = {
        name: value
        for name, value in os.environ.items()
        # Variables set by `make e2e` or pytest would change the behavior of the commands.
        if not name.startswith(("MAKE", "MFLAGS", "PYTEST", "VIRTUAL_ENV"))
    }
    return inherited | variables | {"PATH": os.pathsep.join([str(folder), *path])}
