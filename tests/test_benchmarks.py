"""The benchmarks run and say what they found; how fast it is, is theirs to judge."""

from click.testing import CliRunner

from benchmarks.__main__ import main


def test_they_print_what_they_compare() -> None:
    result = CliRunner().invoke(main, ["--samples", "3", "--starts", "1"])

    assert result.exit_code in {0, 1}, result.output
    assert "100 rules" in result.output
    assert "this app" in result.output
