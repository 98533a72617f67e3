"""What a cold start of the callback path costs, against that of a plain Chalice app with boto3."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

LIMIT = 1.5

_ROOT = Path(__file__).resolve().parent.parent
_OURS = """
import os
import app
from chalicelib import runtime
service = runtime.current()
service.store, service.signatures, service.rules
"""
_PLAIN = """
import chalice, boto3
app = chalice.Chalice(app_name="plain")
boto3.resource("dynamodb").Table("reservations")
"""


def measure(starts: int) -> bool:
    """Start *starts* processes of each kind, by turns; tell whether ours is light enough."""
    programs = {"nothing": "pass", "Chalice and boto3": _PLAIN, "this app, ready": _OURS}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as bytecode:
        for turn in range(starts + 1):
            for name, program in programs.items():
                seconds = _start(program, Path(bytecode))
                if turn:  # the first writes the bytecode of everything else
                    taken[name].append(seconds)
    nothing, plain, ours = (min(times) for times in taken.values())
    click.echo(f"A Python started until it could answer, best of {starts}:")
    for name, times in taken.items():
        click.echo(f"  {name:18}  {min(times) * 1000:5.0f} ms")
    ratio = (ours - nothing) / (plain - nothing)
    click.echo(
        f"  ours is {ratio:.2f} times a plain one (limit {LIMIT}), Python's own start left out"
    )
    return ratio <= LIMIT


def _start(program: str, bytecode: Path) -> float:
    # On Lambda ours is compiled at every start: the zip has no bytecode, and nothing can be kept.
    shutil.rmtree(bytecode / _ROOT.relative_to("/") / "chalicelib", ignore_errors=True)
    environ = os.environ | {
        "SETTINGS_DEFAULTS": "local/settings.env",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=_ROOT, env=environ, check=True)  # noqa: S603  our own interpreter and programs
    return time.perf_counter() - started
