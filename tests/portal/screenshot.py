"""Takes the screenshot in docs/portal.md: `python -m tests.portal.screenshot`."""

import json
from pathlib import Path

from playwright.sync_api import expect

from taskrouter_simulator.testing import TaskRouter, running
from tests.portal.conftest import chromium
from tests.simulator.conftest import App

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "portal.png"


def create_tasks(taskrouter: TaskRouter) -> None:
    """Create an assigned, a reserved and a pending Task."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)

    def create_task(language: str, order: str, priority: int = 0):
        attributes = json.dumps({"selected_language": language, "order": order})
        task = workspace.tasks.create(attributes=attributes, priority=priority)
        taskrouter.advance(0)
        return task

    for worker in ("Alice", "Bob"):
        activity_sid = taskrouter.activities["Idle"]
        workspace.workers(taskrouter.workers[worker]).update(activity_sid=activity_sid)
    assigned = create_task("es", "A-1041")
    taskrouter.advance(42)
    assigned.reservations.list()[0].update(reservation_status="accepted")
    create_task("en", "A-1042", priority=5)
    taskrouter.advance(17)
    create_task("es", "A-1043")
    taskrouter.advance(8)


def main() -> None:
    """Save a screenshot of the portal in a desktop-sized window."""
    app = App()
    app.set_response("/events", b"", status=204)
    settings = {"callback_base_url": app.url, "event_path": "/events"}
    with running(**settings) as taskrouter, chromium() as browser:
        create_tasks(taskrouter)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"{taskrouter.url}/simulator/portal")
        page.get_by_role("button", name="assignment 2").click()
        callbacks = page.locator("#callbacks .rows > li")
        callbacks.first.locator("summary").click()
        expect(callbacks.first.locator("pre")).to_be_attached()
        page.screenshot(path=IMAGE)
    app.close()


if __name__ == "__main__":
    main()
