"""The tests that are most likely to detect a mutant run first."""

import pytest

from tests.mutants.mutations import mutations_of
from tests.mutants.project import Project
from tests.mutants.selection import Coverage, Selection

PRODUCT = """
def is_adult(age):
    return age >= 18
"""
LINE = 3
"""The line of the return statement."""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "product" / "ages").mkdir(parents=True)
    (tmp_path / "product" / "ages" / "check.py").write_text(PRODUCT)
    return Project(tmp_path, {"product": "product"}, ("tests",), ("product",))


def files_in_order(project, seconds_by_file):
    """Return the test files in the order in which they test a mutant of `is_adult`."""
    covered = Coverage()
    for name, seconds in seconds_by_file.items():
        (project.root / name).write_text("def test_adult(): ...  # is_adult")
        covered.seconds[f"{name}::test_adult"] = seconds
        covered.tests["product/ages/check.py", LINE].add(f"{name}::test_adult")
    mutation = mutations_of(project.root, "product/ages/check.py")[0]
    tests = Selection(project, covered).tests(mutation)
    return [test.partition("::")[0] for test in tests]


@pytest.mark.parametrize("own_file", ["test_check.py", "test_check_limits.py", "test_ages.py"])
def test_quick_tests_named_after_the_module_or_its_package_run_first(project, own_file):
    seconds = {"test_quick.py": 0.1, own_file: 3.0}
    assert files_in_order(project, seconds) == [own_file, "test_quick.py"]


def test_slow_tests_named_after_the_module_run_after_quicker_tests(project):
    # If the slow tests ran first, they would use up the CPU time available to the other tests.
    seconds = {"test_check.py": 20.0, "test_quick.py": 0.1}
    assert files_in_order(project, seconds) == ["test_quick.py", "test_check.py"]


def test_quicker_files_run_before_slower_ones(project):
    seconds = {"test_slow.py": 9.0, "test_quick.py": 0.1, "test_medium.py": 2.0}
    assert files_in_order(project, seconds) == ["test_quick.py", "test_medium.py", "test_slow.py"]
