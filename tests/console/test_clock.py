"""Browser tests, with a fake API, of the estimate of the server's clock and of the countdowns."""

import base64
import re
import threading

import pytest
from playwright.sync_api import expect

from tests.console.pages import row, wait_until
from tests.console.vendor import CONSOLE

pytestmark = pytest.mark.slow

SET_OFFSETS = """async ([url, samples]) => {
  const clock = await import(url);
  return samples.map((sample) => {
    sample ? clock.setClockOffset(...sample) : clock.forgetClock();
    return clock.clockOffset().offset;
  });
}"""


def test_slow_response_does_not_change_a_precise_countdown(open_console, api):
    expires_at = api.now() + 110
    api.offer("Marta", 110)
    page = open_console(clock=True)
    digits = row(page, "Marta").locator(".digits")
    expect(digits).to_have_text(re.compile(r"1:\d\d"))
    overview, held, released = api._overview, threading.Event(), threading.Event()

    def respond_late(headers):
        api._overview = overview
        # No later poll corrects the clock.
        api.poll = {"visible_ms": 60_000, "hidden_ms": 60_000}
        api.offer("Late")
        response = overview(headers)
        held.set()
        released.wait()
        return response

    api._overview = respond_late
    wait_until(page, held.is_set)
    # The request takes 8 s, so the estimate of the server's clock may be wrong by up to 4 s.
    page.clock.run_for(8_000)
    api.clock_offset += 8
    released.set()
    expect(row(page, "Late")).to_be_visible()
    page.clock.run_for(2_000)
    api.clock_offset += 2
    minutes, seconds = digits.inner_text().split(":")
    left = expires_at - api.now()
    assert int(minutes) * 60 + int(seconds) == pytest.approx(left, abs=2)


@pytest.mark.parametrize(
    ("samples", "offset"),
    [
        ([[10_000, 50], [7_000, 4_000]], 10_000),
        ([[10_000, 50], [5_000, 4_000]], 5_000),
        ([[10_000, 50], [9_700, 20]], 10_000),
        ([[10_000, 50], [9_500, 20]], 9_500),
        ([[10_000, 5_000], [8_500, 1_200]], 8_500),
        ([[10_000, 5_000], [9_700, 20], [8_500, 1_200]], 10_000),
        ([[10_000, 50], None, [7_000, 4_000]], 7_000),
        ([[10_000, 50], [None]], 10_000),
        ([[10_000, 50], [9_500]], 9_500),
    ],
    ids=[
        "less precise",
        "contradiction",
        "small difference",
        "more precise",
        "more precise than a slow response",
        "less precise than a confirmation",
        "forgotten",
        "other tab without a clock",
        "other tab without a maximum error",
    ],
)
def test_known_offset_changes_only_to_a_more_precise_or_contradicting_value(
    browser, samples, offset
):
    """A sample is an offset and its maximum error in ms. None makes the clock unknown."""
    module = base64.b64encode((CONSOLE / "clock.js").read_bytes()).decode()
    page = browser.new_page()
    url = f"data:text/javascript;base64,{module}"
    known = page.evaluate(SET_OFFSETS, [url, samples])
    page.close()
    assert [each for each in known if each is not None][-1] == offset
