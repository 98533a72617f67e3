"""Fixtures that run a simulator, an app that responds to its callbacks, and Chromium.

The environment variable CHROMIUM contains the path of the browser. By default, an installed
Chromium or Chrome is used.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from taskrouter_simulator.testing import TaskRouter, running
from tests.simulator.conftest import SPANISH, App, Simulation, app, simulation

__all__ = ["SPANISH", "App", "Simulation", "app", "simulation"]

_PROGRAM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium ignores all but the last --disable-features, so this list repeats the features that
# Playwright disables. The WebUI pages of the address bar are added because they use half of the
# CPU time needed to open a window.
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
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture
def taskrouter(app: App, request: pytest.FixtureRequest) -> Iterator[TaskRouter]:
    """A simulator that sends its callbacks to `app`; by default, its clock is frozen."""
    with running(callback_base_url=app.url, **getattr(request, "param", {})) as simulator:
        yield simulator


@contextmanager
def chromium(
    *arguments: str,
    disabled_features: tuple[str, ...] = (),
    omitted_arguments: tuple[str, ...] = (),
) -> Iterator[Browser]:
    """Run Chromium; skip the test if Chromium is missing.

    Args:
        *arguments: Additional command-line arguments.
        disabled_features: Names of additional features to disable.
        omitted_arguments: Playwright's default arguments to omit.
    """
    features = f"--disable-features={','.join([*_DISABLED_FEATURES, *disabled_features])}"
    program = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, _PROGRAM_NAMES)), None
    )
    if program is None:
        pytest.skip("Chromium is missing. Install the chromium package or set CHROMIUM.")
    # Playwright's default of 5 s is too short for a machine that also runs other tests.
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[features, *_ARGUMENTS, *arguments],
            ignore_default_args=list(omitted_arguments),
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium instance per module.

    Playwright's event loop must not run during the tests of other modules.
    """
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture
def page_problems() -> list[str]:
    """Console messages, errors, dialogs and cross-origin requests of the page.

    A test that expects an entry must remove the entry from the list.
    """
    return []


@pytest.fixture
def open_portal(
    browser: Browser, taskrouter: TaskRouter, page_problems: list[str]
) -> Iterator[Callable[..., Page]]:
    """A function that opens the portal in a new Playwright browser context.

    The test fails if `page_problems` is not empty when the test ends.
    """
    contexts = []

    def open_page(prepare: Callable[[Page], Any] = lambda _page: None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda message: page_problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page_problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: page_problems.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(taskrouter.url) or page_problems.append(request.url)
            ),
        )
        prepare(page)
        page.goto(f"{taskrouter.url}/simulator/portal")
        page.get_by_text("Live", exact=True).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert page_problems == []


@pytest.fixture
def page(open_portal: Callable[..., Page]) -> Page:
    """The portal in a window of 1280 by 800 pixels."""
    return open_portal()
