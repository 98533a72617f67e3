"""A simulator with an app that answers its callbacks, and a Chromium that opens the portal.

The browser is the program named in the environment variable CHROMIUM, or else Debian's `chromium`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from taskrouter_simulator.testing import TaskRouter, running
from tests.simulator.conftest import SPANISH, App, Story, app, story

__all__ = ["SPANISH", "App", "Story", "app", "story"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium ignores all but the last --disable-features, so this list repeats Playwright's. It adds
# the web pages of the address bar, which take half of the CPU time of a new window.
_DISABLED_FEATURES = (
    "AimEnabled",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "WebUIOmniboxPopup",
)
_ARGUMENTS = (
    f"--disable-features={','.join(_DISABLED_FEATURES)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture
def tr(app: App, request: pytest.FixtureRequest) -> Iterator[TaskRouter]:
    """A simulator with the quickstart's Workspace, a frozen clock, and an app that answers `{}`."""
    with running(callback_base_url=app.url, **getattr(request, "param", {})) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for each module: its event loop must not run during the tests of others."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: install Debian's package chromium, or set CHROMIUM to a program")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*_ARGUMENTS])
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """Console messages, errors, dialogs and foreign requests of the page.

    A test that provokes some must remove them from the list.
    """
    return []


@pytest.fixture
def open_portal(
    browser: Browser, tr: TaskRouter, complaints: list[str]
) -> Iterator[Callable[..., Page]]:
    """A function that opens the portal with options of a Playwright context.

    The test fails if any complaints are left at its end.
    """
    contexts = []

    def open_page(before: Callable[[Page], Any] = lambda _page: None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda line: complaints.append(f"{line.type}: {line.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda sent: sent.url.startswith(tr.url) or complaints.append(sent.url))
        before(page)
        page.goto(f"{tr.url}/simulator/portal")
        page.get_by_text("Live", exact=True).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_portal: Callable[..., Page]) -> Page:
    """The portal in a window of 1280 by 800 pixels."""
    return open_portal()
