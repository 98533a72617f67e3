"""A fresh checkout with installed dependencies, and the environment of its shells."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs_runner.pages import ROOT

# A block must not fail silently: curl exits with 22 if the status is 400 or higher.
CURL = '#!/bin/sh\nexec {curl} --fail-with-body "$@"\n'
INSTALLED = (".uv", ".requirements-deploy", ".requirements-run", ".requirements-dev")
"""The files with which the Makefile marks what is installed in .venv."""


def create(folder):
    """Copy the tracked and the new files to a Git repository with an installed .venv."""
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
        if entry.name not in INSTALLED:
            (environment / entry.name).symlink_to(entry)
    for name in INSTALLED:
        (environment / name).touch()


def environ(folder, **variables):
    """Return the environment of a shell in which only system programs and *folder* are found."""
    folder.mkdir()
    wrapper = folder / "curl"
    wrapper.write_text(CURL.format(curl=shlex.quote(shutil.which("curl"))))
    wrapper.chmod(0o755)
    own = Path(sys.prefix).resolve() / "bin"
    path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part).resolve() != own]
    kept = {
        name: value
        for name, value in os.environ.items()
        # `make e2e` passes options to the Makefile's commands, and pytest passes its own.
        if not name.startswith(("MAKE", "MFLAGS", "PYTEST", "VIRTUAL_ENV"))
    }
    return kept | variables | {"PATH": os.pathsep.join([str(folder), *path])}
