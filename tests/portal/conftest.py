"""A simulator with an app that answers its callbacks, and a real Chromium that looks at the portal.

The browser is Debian's package `chromium`, or whatever the environment's CHROMIUM names.
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
# Chromium heeds the last list only, so Playwright's own comes first. The rest renders the address
# bar's suggestions in a web page, which takes as long as all that a test does.
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
    """The quickstart's Workspace; the app answers `{}`; time stands still, unless told not to."""
    with running(callback_base_url=app.url, **getattr(request, "param", {})) as handle:
        yield handle


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module; it ends with it, as its event loop is in the way of others."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*_ARGUMENTS])
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page complained of; a test that provokes some clears the list."""
    return []


@pytest.fixture
def open_portal(
    browser: Browser, tr: TaskRouter, complaints: list[str]
) -> Iterator[Callable[..., Page]]:
    """Opens the portal; options are those of a Playwright context. In the end nobody complained."""
    contexts = []

    def open_it(before: Callable[[Page], Any] = lambda _page: None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda line: complaints.append(f"{line.type}: {line.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda one: one.url.startswith(tr.url) or complaints.append(one.url))
        before(page)
        page.goto(f"{tr.url}/simulator/portal")
        page.get_by_text("Live", exact=True).wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_portal: Callable[..., Page]) -> Page:
    """The portal in a window of 1280 by 800."""
    return open_portal()
