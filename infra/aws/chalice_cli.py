"""Chalice's own command line, which does the deploying."""

import subprocess
import sys

from infra.aws.stage_config import PROJECT
from infra.errors import OperatorError


def run(*arguments: str) -> None:
    """Run ``chalice`` in the checkout; what it prints goes to standard error.

    Raises:
        OperatorError: it failed, and has said why.
    """
    command = [sys.executable, "-c", "from chalice.cli import main; raise SystemExit(main())"]
    done = subprocess.run(  # noqa: S603  # our own interpreter, and arguments of ours
        [*command, *arguments], cwd=PROJECT, stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise OperatorError(f"chalice {' '.join(arguments)} failed; what it says is above.")
