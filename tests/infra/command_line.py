"""Runs operator commands in this process, because starting `python -m infra` takes a second."""

import contextlib
import os
import subprocess
from unittest import mock

import boto3
from click.testing import CliRunner

from infra.__main__ import main
from local.supervisor import ROOT


def run_infra(*arguments, stdin="", **environ):
    """Run `python -m infra` in the checkout.

    Args:
        *arguments: the command, its arguments and options.
        stdin: the standard input.
        **environ: variables added to the environment, which is restored afterwards.

    Returns:
        The exit code and the output, as of a process. An exception that the command does not
        report itself is raised.
    """
    with (
        mock.patch.dict(os.environ, environ),
        # boto3's session keeps the credentials that it found first
        mock.patch.object(boto3, "DEFAULT_SESSION", None),
        contextlib.chdir(ROOT),
    ):
        result = CliRunner().invoke(main, [*map(str, arguments)], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)
