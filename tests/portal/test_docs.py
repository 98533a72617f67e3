"""docs/portal.md matches the code and the portal page."""

import re
from pathlib import Path

from taskrouter_simulator import log
from taskrouter_simulator.portal import overview
from taskrouter_simulator.portal.routes import PAGE, STATE, TIME_HEADER

DOC = (Path(__file__).parents[2] / "docs" / "portal.md").read_text(encoding="utf-8")


def test_documented_routes_and_limits_match_code():
    for name in (f"127.0.0.1:8002{PAGE}", f"GET {STATE}?", TIME_HEADER):
        assert name in DOC
    numbers = [int(number) for number in re.findall(r"(?:newest|and|first) ([0-9]+)", DOC)]
    assert numbers == [
        overview.MAX_TASKS,
        overview.MAX_ENDED_RESERVATIONS,
        overview.MAX_ENTRIES_PER_KIND,
        overview.MAX_ENTRIES_PER_KIND,
        log.MAX_ANSWER_LENGTH,
    ]


def test_every_section_is_documented():
    page = Path(overview.__file__).with_name("static") / "portal.html"
    headings = re.findall(r'<h2 id="[a-z]+-heading" tabindex="-1">(\w+)</h2>', page.read_text())
    assert sorted(re.findall(r"^\| (\w+) \| (?!Shows)", DOC, re.MULTILINE)) == sorted(headings)


def test_every_kind_of_callback_is_documented():
    (row,) = re.findall(r"^\| Callbacks \| (.*)$", DOC, re.MULTILINE)
    names = {"twiml": "TwiML"}
    assert [kind for kind in overview.CALLBACKS if names.get(kind, kind) not in row] == []
