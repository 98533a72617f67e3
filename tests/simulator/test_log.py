"""The log numbers entries, keeps only the newest entries, and truncates long responses."""

from taskrouter_simulator.log import Log


def test_newest_entries_are_kept_and_numbering_continues():
    log = Log(max_entries=3, max_answers=3, now=lambda: 7.0)
    for number in range(5):
        log.record("request", path=str(number), answer={})
    assert [(entry["id"], entry["path"]) for entry in log.entries()] == [
        (3, "2"), (4, "3"), (5, "4")
    ]  # fmt: skip
    assert [entry["id"] for entry in log.entries(after=4)] == [5]
    log.clear()
    log.record("alert", code=1)
    assert [entry["id"] for entry in log.entries("alert")] == [6]
    assert log.entries("request") == []


def test_response_to_old_rest_request_is_removed():
    log = Log(max_entries=10, max_answers=1, now=lambda: 7.0)
    log.record("request", answer={"a": 1})
    log.record("assignment", answer="{}")
    log.record("request", answer={"b": 2})
    assert [entry["answer"] for entry in log.entries()] == [None, "{}", {"b": 2}]


def test_long_response_is_truncated():
    log = Log(max_entries=2, max_answers=2, now=lambda: 7.0)
    log.record("assignment", answer="x" * 1_000_000)
    log.record("assignment", answer="x" * 20_000)
    long, short = log.entries()
    assert (len(long["answer"]), long["answer_length"]) == (20_000, 1_000_000)
    assert len(short["answer"]) == 20_000
    assert "answer_length" not in short


def test_log_entry_has_number_time_and_kind():
    log = Log(max_entries=10, max_answers=2, now=lambda: 7.0)
    log.record("alert", code=1)
    log.record("event", answer="x" * 20_001)
    assert log.entries() == [
        {"id": 1, "at": 7.0, "kind": "alert", "code": 1},
        {"id": 2, "at": 7.0, "kind": "event", "answer": "x" * 20_000, "answer_length": 20_001},
    ]
    assert log.entries(after=1) == log.entries("event")
    assert (log.entries("alert", after=1), log.entries(after=2)) == ([], [])


def test_log_keeps_rest_responses_only_in_the_newest_entries():
    log = Log(max_entries=10, max_answers=2, now=lambda: 7.0)
    for number in range(1, 4):
        log.record("request", answer={"a": number})
        log.record("alert", code=number)
    answers = [entry["answer"] for entry in log.entries("request")]
    assert answers == [None, None, {"a": 3}]
    for entry in log.entries("alert"):
        assert "answer" not in entry
