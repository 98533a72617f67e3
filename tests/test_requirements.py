"""Requirements are pinned and hashed, and larger files contain the smaller ones."""

import itertools
import re

import pytest

from local.supervisor import ROOT

FROM_SMALL_TO_LARGE = [
    "requirements.txt",
    "requirements-deploy.txt",
    "requirements-run.txt",
    "requirements-dev.txt",
    "requirements-bench.txt",
]
CONTAINER = "taskrouter_simulator/requirements.txt"
"""The requirements of the simulator's container image."""
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)")


def requirements(file):
    """Return the pinned version of each requirement and whether it has a hash, by name."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    pins = [PIN.match(line) for line in lines]
    assert all(pins)
    return {
        pin["name"]: (pin["version"], "--hash=sha256:" in line)
        for pin, line in zip(pins, lines, strict=True)
    }


@pytest.mark.parametrize("file", [*FROM_SMALL_TO_LARGE, "requirements-uv.txt", CONTAINER])
def test_every_requirement_is_pinned_and_has_a_hash(file):
    assert [name for name, (_, has_hash) in requirements(file).items() if not has_hash] == []


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [*itertools.pairwise(FROM_SMALL_TO_LARGE), (CONTAINER, "requirements-run.txt")],
)
def test_larger_file_contains_the_smaller_one(smaller, larger):
    # All make targets share one .venv, so its versions must not depend on the target.
    assert requirements(smaller).items() <= requirements(larger).items()


def test_lambda_requirements_contain_neither_boto3_nor_chalice():
    # Lambda provides boto3, and Chalice adds its own runtime to the package.
    assert requirements("requirements.txt").keys().isdisjoint({"boto3", "botocore", "chalice"})
