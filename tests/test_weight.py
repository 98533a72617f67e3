"""Importing the app imports no heavy modules, because they lengthen the cold start."""

import subprocess
import sys
from pathlib import Path

HEAVY_MODULES = [
    "twilio.rest",
    "twilio.twiml",
    "jwt",
    "requests",
    "aiohttp",
    "pydantic",
    "jinja2",
    "taskrouter_simulator",
    "infra",
]


def test_importing_the_app_imports_no_heavy_module() -> None:
    program = f"import app, sys; print([name for name in {HEAVY_MODULES} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
