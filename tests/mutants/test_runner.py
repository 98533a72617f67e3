"""A run on a small project finds the mutants that its tests do not detect."""

import os
import re
import subprocess
import sys

import pytest

from tests.mutants.project import THIS_PROJECT

pytestmark = pytest.mark.slow

PRODUCT = """
LIMIT = 10


def register(function):
    function.price = 5
    return function


def is_allowed(age):
    return age >= 18 and len(str(age)) < LIMIT


@register
def sell():
    return sell.price


def unused(a):
    return a + 1


def wait(seconds):
    while seconds > 0:
        seconds -= 1
    return seconds
"""
TESTS = """
import subprocess

import pytest

from product.shop import is_allowed, sell, wait


def test_adult_is_allowed():
    assert is_allowed(30)


@pytest.mark.parametrize("age", [17, -1])
def test_child_is_not_allowed(age):
    assert not is_allowed(age)


def test_long_number_is_not_allowed():
    assert is_allowed(10**8)
    assert not is_allowed(10**9)


def test_item_is_sold():
    assert sell() == 5


def test_wait_ends():
    assert wait(2) == 0


def test_skipped():
    pytest.skip("never runs")
"""
RUN = """
import sys
from pathlib import Path
from tests.mutants import runner
from tests.mutants.__main__ import run
from tests.mutants.project import Project
root = Path(sys.argv[1])
project = Project(root, {"product": "product"}, ("test_shop.py",), ("product",))
runner._EXTRA_CPU_SECONDS = 2
print(run(project, ["product"], seed=1, count=int(sys.argv[2]), jobs=2))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "product").mkdir()
    (root / "product" / "__init__.py").touch()
    (root / "product" / "shop.py").write_text(PRODUCT)
    (root / "test_shop.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return root


def run(project, *, count):
    return subprocess.run(
        [sys.executable, "-c", RUN, str(project), str(count)],
        cwd=THIS_PROJECT.root,
        env=os.environ | {"PYTHONPATH": str(THIS_PROJECT.root)},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def completed(project):
    return run(project, count=100)


@pytest.fixture
def report(completed):
    return completed.stdout


def section(report, title):
    """Return the mutants listed under a title, without their locations."""
    text = report.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
    return set(re.findall(r"\]: (.*)", text))


def test_mutant_of_an_untested_boundary_survives(report):
    before = "return age >= 18 and len(str(age)) < LIMIT"

    assert f"{before} → {before.replace('>=', '>')}" in section(report, "Survived")


def test_detected_mutants_are_not_listed(report):
    before = "return age >= 18 and len(str(age)) < LIMIT"

    assert before.replace(" and ", " or ") not in report
    assert "return None" not in "".join(section(report, "Survived"))


def test_module_constant_is_tested_by_the_tests_of_functions_that_use_it(report):
    # The tests detect the mutants with the limits 9 and 0, so neither is listed.
    assert "LIMIT = 10 → LIMIT = 9" not in report
    assert "LIMIT = 10 → LIMIT = 0" not in report


def test_function_that_runs_at_import_is_tested_by_the_tests_of_functions_that_use_it(report):
    assert "function.price" not in report


def test_mutant_in_a_function_without_tests_is_not_covered(report):
    assert section(report, "Not covered") == {
        "return a + 1 → return a - 1",
        "return a + 1 → return a + 0",
        "return a + 1 → return a + 2",
        "return a + 1 → return None",
    }


def test_mutant_that_does_not_end_is_detected(report):
    assert "seconds -= 1 → pass" not in report


def test_table_shows_the_score(report):
    survived, not_covered = len(section(report, "Survived")), len(section(report, "Not covered"))
    package, *numbers, score = report.splitlines()[1].split()
    total, detected, *undetected = map(int, numbers)

    assert package == "product"
    assert undetected == [survived, not_covered, 0]
    assert detected == total - survived - not_covered
    assert score == f"{detected / total:.1%}"


def test_skipped_test_is_reported_as_not_passed(completed):
    assert "did not pass: test_shop.py::test_skipped" in completed.stderr


def test_second_run_uses_the_stored_results_of_the_tests(project, completed):
    stored = {file: file.stat().st_mtime_ns for file in project.glob(".mutants/*/*")}
    second_run = run(project, count=2)

    assert second_run.stdout.splitlines()[1].split()[:2] == ["product", "2"]
    assert {file: file.stat().st_mtime_ns for file in project.glob(".mutants/*/*")} == stored != {}


def test_source_files_are_not_changed(project, completed):
    assert (project / "product" / "shop.py").read_text() == PRODUCT
