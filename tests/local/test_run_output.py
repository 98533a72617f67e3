"""`make run` prints the output of the programs, except the lines of successful idle sweeps."""

import pytest

from local import run


@pytest.mark.parametrize(
    ("name", "line", "printed"),
    [
        (
            "sweep",
            '{"time": "t", "level": "INFO", "event": "sweep", "at": 1, "due": 0, "x": 1}',
            False,
        ),
        (
            "sweep",
            '{"time": "t", "level": "INFO", "event": "sweep", "at": 1, "due": 2, "x": 1}',
            True,
        ),
        (
            "sweep",
            '{"time": "t", "level": "ERROR", "event": "sweep", "at": 1, "due": 0, "x": 1}',
            True,
        ),
        (
            "api",
            '{"time": "t", "level": "INFO", "event": "sweep", "at": 1, "due": 0, "x": 1}',
            True,
        ),
    ],
)
def test_only_successful_idle_sweeps_are_omitted(capsys, name, line, printed):
    run._print_line(name, line)

    assert (line in capsys.readouterr().out) == printed
