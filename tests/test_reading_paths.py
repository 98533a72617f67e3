"""Limits on the number of functions and files that typical operations enter."""

import re
import subprocess
import sys

from local.supervisor import ROOT

LIMITS = {
    # 11 functions in 2 files (`aws.py`, `exchange.py`) send the request to DynamoDB without
    # botocore's client, within a total time limit.
    "assignment callback": (50, 14),
    # In addition, `http_client.py` limits the size of TaskRouter's responses. Without this
    # service's own HTTP clients, the path would have 51 functions in 13 files. Two functions parse
    # the recorded delivery of the callback and the last claim (ADR 52).
    "accept over REST": (64, 16),
    # 32 functions (`indexes.py`, `waiting.py`, `requirements.py` and the dependencies of
    # expressions) make the cost of routing independent of the number of waiting Tasks.
    # `history.py` records the data from which statistics are computed. `task_queues.py` moves
    # Tasks between TaskQueues, for example during a transfer.
    "Task, callback, accept in the simulator": (145, 29),
}
LINE = re.compile(
    r"^(\S.*): (\d+) functions in (\d+) files, \d+ returns to an earlier file$", re.MULTILINE
)


def test_operations_enter_few_functions_and_files():
    # Use a separate process, because the tracer replaces the profile function of all threads.
    report = subprocess.run(
        [sys.executable, "-m", "tests.reading_paths", "--verbose"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    counts = {name: (int(functions), int(files)) for name, functions, files in LINE.findall(report)}

    assert counts.keys() == LIMITS.keys()
    exceeded = {
        name: count
        for name, count in counts.items()
        if any(value > limit for value, limit in zip(count, LIMITS[name], strict=True))
    }
    assert exceeded == {}, report
