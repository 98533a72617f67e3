"""Smoke test of the benchmarks.

The results depend on the machine, so the test does not check them.
"""

from click.testing import CliRunner

from benchmarks.__main__ import main


def test_benchmarks_print_their_comparisons() -> None:
    result = CliRunner().invoke(main, ["--samples", "3", "--starts", "1"])

    assert result.exit_code in {0, 1}, result.output
    assert "100 rules" in result.output
    assert "forged" in result.output
    assert "this app" in result.output
