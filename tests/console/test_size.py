"""Browser test of an inbox with 500 offers, with a fake of the API."""

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import rows, wait_until

pytestmark = pytest.mark.slow

MAX_SCRIPT_MS = 50
MAX_UPDATES = 20
IS_SHOWN = "id => document.getElementById(id) !== null"

# An update begins when the overview is parsed. It renders in microtasks, so a message that is sent
# at the beginning arrives when the update or tick has ended.
MEASURE = """
  window.updates = [];
  window.ticks = [];
  function measure(times) {
    const start = performance.now();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => times.push(performance.now() - start);
    port2.postMessage(null);
  }
  const { parse } = JSON;
  JSON.parse = (text, ...more) => {
    if (text.length > 100_000) {
      measure(updates);
    }
    return parse(text, ...more);
  };
  const repeat = setInterval;
  window.setInterval = (callback, delay) => repeat(() => (measure(ticks), callback()), delay);
"""


@pytest.mark.alone
def test_500_offers_update_and_tick_within_50_ms_of_script_each(open_console, api):
    """Other programs can only make a measurement longer, so one short measurement is enough."""
    for number in range(500):
        api.offer(f"Customer {number}", 300 + number)
    api.poll = {"visible_ms": 500, "hidden_ms": 500}
    context = open_console(link_token=None).context
    context.add_init_script(MEASURE)
    page = open_console(token("supervisor"), context=context)
    expect(rows(page)).to_have_count(500)
    for number in range(1, MAX_UPDATES + 1):
        api.end(next(iter(api.reservations)), "canceled")
        newest = api.offer("Newest", 1_000)
        wait_until(page, lambda sid=newest: page.evaluate(IS_SHOWN, f"row-{sid}"), seconds=60)
        # The first measurement is that of the first load.
        wait_until(page, lambda number=number: page.evaluate("updates.length") > number)
        updates, ticks = page.evaluate("[updates.slice(1), ticks]")
        if ticks and max(min(updates), min(ticks)) < MAX_SCRIPT_MS:
            break
    assert min(updates) < MAX_SCRIPT_MS, updates
    assert min(ticks) < MAX_SCRIPT_MS, ticks
