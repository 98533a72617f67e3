"""Runs operator commands in the test process, to save a second per command."""

import contextlib
import os
import subprocess
from unittest import mock

import boto3
from click.testing import CliRunner

from infra.__main__ import main
from local.supervisor import ROOT


def run_infra(*arguments, stdin="", **environ):
    """Run an operator command in the checkout, like `python -m infra`.

    Args:
        *arguments: The command, its arguments and options.
        stdin: The standard input.
        **environ: Variables to set while the command runs.

    Returns:
        The exit code and the output, like `subprocess.run`. Unexpected exceptions are raised.
    """
    with (
        mock.patch.dict(os.environ, environ),
        # boto3's default session would keep the credentials of an earlier command.
        mock.patch.object(boto3, "DEFAULT_SESSION", None),
        contextlib.chdir(ROOT),
    ):
        result = CliRunner().invoke(main, [*map(str, arguments)], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)
