"""SIDs, URLs, and suggestions for misspelled names."""

import re

import pytest

from taskrouter_simulator.identifiers import (
    Credentials,
    derived_hex,
    is_url,
    resolve_url,
)
from taskrouter_simulator.spelling import describe_unknown, find_similar, fold


def test_credentials_are_derived_from_their_names():
    assert vars(Credentials()) == {
        "account_sid": "AC" + derived_hex("account"),
        "auth_token": derived_hex("auth-token"),
        "api_key_sid": "SK" + derived_hex("api-key"),
        "api_key_secret": derived_hex("api-key-secret"),
        "shared_key_id": derived_hex("shared-key-id"),
        "shared_key": derived_hex("shared-key"),
    }
    assert re.fullmatch("[0-9a-f]{32}", derived_hex("account"))
    assert derived_hex("account") not in repr(Credentials())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a", True),
        ("HTTPS://a:1/b?c#d", True),
        ("http://[::1]:80", True),
        ("http://a:65535", True),
        ("http://a:65536", False),
        ("http://a:x", False),
        ("http://", False),
        ("http://:80", False),
        ("http:///a", False),
        ("ftp://a", False),
        ("//a", False),
        ("a", False),
        ("", False),
        ("http://a b", False),
        ("http://a/\x7f", False),
        ("http://a/~!", True),
        ("http://a/ü", False),
        ("http://[", False),
    ],
)
def test_only_absolute_encoded_urls_are_valid(text, expected):
    assert is_url(text) is expected
    assert resolve_url("", text) == (text if expected else None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "http://a/b/c"),
        ("d", "http://a/b/d"),
        ("/d", "http://a/d"),
        ("?d", "http://a/b/c?d"),
        ("http://e", "http://e"),
        ("http://[", None),
        ("d e", None),
        ("mailto:x", None),
    ],
)
def test_url_is_resolved_against_base(url, expected):
    assert resolve_url("http://a/b/c", url) == expected


@pytest.mark.parametrize(
    ("name", "similar"),
    [("taskSid", "task_sid"), ("TASK_SID", "task_sid"), ("taks_sid", "task_sid"), ("xyz", None),
     ("wor", "worker"), ("wo", None)],
)  # fmt: skip
def test_most_similar_name_is_found(name, similar):
    assert find_similar(name, ["task", "task_sid", "worker"]) == similar


def test_cutoff_sets_minimum_similarity():
    assert find_similar("worke", ["worker"], cutoff=0.9) == "worker"
    assert find_similar("work", ["worker"], cutoff=0.9) is None
    assert find_similar("Work_Er", ["worker"], cutoff=1) == "worker"
    assert find_similar("worke", ["worker"], cutoff=1) is None
    assert fold("A_b__C") == "abc"


def test_description_of_unknown_name_suggests_known_names():
    assert describe_unknown("tsk", iter(["task", "worker"])) == "'tsk'; did you mean task?"
    assert describe_unknown("x", iter(["task", "worker"])) == "'x'; use one of task, worker"
    assert describe_unknown("x", []) == "'x'; no names are allowed here"
    assert describe_unknown("x" * 101, []) == f"'{'x' * 100}'; no names are allowed here"
    assert find_similar("a" * 100 + "b" * 100, ["a" * 100], cutoff=1) == "a" * 100
