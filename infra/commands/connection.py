"""Connects a deployed stage to Twilio and to the recipients of its alarms."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
import requests

from chalicelib.domain.callbacks import EVENT_TYPES
from chalicelib.domain.workers import ACTIVITY_EVENT
from infra import OperatorError
from infra.aws import Aws, chalice_record, live_state, stacks, stage_config
from infra.aws.stage_config import Stage
from infra.commands import secrets as stored_secrets
from infra.commands.dialog import Dialog, ask
from infra.twilio_account import Workspace

_ORIGIN = "(?i:https?)://[^/?#@\\s]+"
_OVERRIDES = r"#[a-z]{1,3}=[\w,.]{1,15}(&[a-z]{1,3}=[\w,.]{1,15})*"
"""A fragment with connection overrides, which are not secret:
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

_PUBLIC_URL = re.compile(rf"{_ORIGIN}(/[^/?#@\s]{{0,19}})*({_OVERRIDES})?")
"""A URL that contains no secret. A segment of 20 or more characters may be a secret
(see CALLBACK_PATH_SECRETS in docs/settings.md)."""

_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"

_WORKFLOW_URLS = {
    "assignment_callback_url": ("Workflow, assignment callback", "/assignment_callback"),
    "fallback_assignment_callback_url": ("Workflow, fallback", "/assignment_callback/fallback"),
}
_WORKSPACE_URLS = {"event_callback_url": ("Workspace, event callback", "/event_callback")}
_EVENTS_FILTER = "events_filter"

NEEDED_EVENTS = (*EVENT_TYPES, ACTIVITY_EVENT)
"""The types of the events that the service records."""

EVENT_FILTER_LABEL = "Workspace, event filter"
"""Beginning of the line that describes a change to the event filter."""

_PATHS = [path for _, path in (_WORKFLOW_URLS | _WORKSPACE_URLS).values()]
ROUTES = "|".join(_PATHS)
"""Pattern of the paths to which TaskRouter posts."""

_OWN_ROUTE = re.compile(rf"(?s)(/[^?#]+)?((?:{ROUTES})/*)(\?[^#]*)?(#.*)?")
"""Pattern of a route. Segments, which may be secret, may precede the route; a query and a fragment
may follow."""

_OTHER_STAGE_SECONDS = 5
"""Time limit for a request to the stage that a Workflow currently calls."""


@dataclass
class Changes:
    """Changes to a Workspace and its Workflow in Twilio.

    Attributes:
        workflow: New values of the Workflow's properties.
        workspace: New values of the Workspace's properties.
        lines: A line for each change: the old and the new value of a URL, or the event types that
            are added to the filter.
        other_stages: The assignment callback URLs of stages whose URLs are replaced, by stage name.
    """

    workflow: dict[str, str] = field(default_factory=dict)
    workspace: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    other_stages: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether there is any change."""
        return bool(self.lines)


def open_workspace(aws: Aws, stage: Stage) -> Workspace:
    """Return the Workspace of a stage, accessed with the stored API key.

    Raises:
        OperatorError: The secrets do not exist or can't be read.
    """
    secrets = stored_secrets.require(aws, stage)
    remedy = stored_secrets.storage_instructions(stage)
    return stored_secrets.open_workspace(stage, secrets.api_key, remedy=remedy)


def ensure_not_deployed_elsewhere(
    aws: Aws, stage: Stage, fetch_workflow: Callable[[], Any]
) -> None:
    """Check that the Workflow does not already call the stage in a different account.

    If the checkout has no record of a stage in a different account, only Twilio knows its URL. A
    URL that does not respond is ignored, because its stage may have been removed.

    Args:
        aws: The account and region.
        stage: The stage to create.
        fetch_workflow: Returns the SDK's instance for the Workflow. Not called if the stage
            exists in this account and region.

    Raises:
        OperatorError: The stage is deployed in a different account.
    """
    if stacks.outputs(aws, stage) or chalice_record.find_api_id(aws, stage, None):
        return
    url = _without_query_and_fragment(fetch_workflow().assignment_callback_url or "")
    bases = [f"https?://.+/{re.escape(stage.name)}", re.escape(stage.settings.public_base_url)]
    # The base URL may be followed by a secret segment.
    match = re.fullmatch(f"({'|'.join(filter(None, bases))})(/[^/]+)?/assignment_callback", url)
    if match and _is_served(url):
        raise OperatorError(
            f"Stage {stage.name} is already deployed at {mask(match[1], '')}, in an account other "
            f"than {aws.account}. Use the credentials of that account, or clear the Workflow's "
            "callback URL."
        )


def _is_served(url: str) -> bool:
    """Return whether this service rejects an unsigned callback at a URL."""
    try:
        # The fallback route is used because the alarm CallbacksRefused monitors only
        # /assignment_callback.
        response = requests.post(
            f"{url}/fallback",
            data={"Unsigned": "1"},
            timeout=_OTHER_STAGE_SECONDS,
            allow_redirects=False,
        )
        return bool(response.json()["Code"])
    except (requests.RequestException, ValueError, TypeError, KeyError):
        return False


def set_callback_urls(workspace: Workspace, base_url: str, prefix: str, dialog: Dialog) -> None:
    """Set the callback URLs and the event filter in Twilio if the operator confirms the changes.

    Args:
        workspace: The Workspace with the Workflow.
        base_url: The base URL of the routes, including the API's stage if there is one.
        prefix: Path prefix of the routes that Twilio calls; it is secret, or empty.
        dialog: Asks the operator for confirmation.

    Raises:
        OperatorError: Twilio refused the changes or did not store them, or TaskRouter calls a
            different stage that still exists, and the operator was not asked.
    """
    changes = find_changes(workspace, base_url, prefix)
    if not changes:
        return
    click.echo("These settings in Twilio must change for this deployment:", err=True)
    for line in changes.lines:
        click.echo(f"  {line}", err=True)
    if dialog.assumes_yes:
        ensure_not_in_use(changes.other_stages)
    if not dialog.confirm("Change them?"):
        click.echo(
            "The settings were not changed. To change them, run this command again with --yes, "
            "or use Twilio's Console.",
            err=True,
        )
        return
    if changes.workflow:
        workspace.update_workflow(**changes.workflow)
    if changes.workspace:
        workspace.update(**changes.workspace)
    if remaining := find_changes(workspace, base_url, prefix):
        raise OperatorError(f"Twilio did not store these changes: {'; '.join(remaining.lines)}.")
    click.echo("Twilio has stored the changes.", err=True)


def ensure_not_in_use(other_stages: Mapping[str, str]) -> None:
    """Check that none of the stages whose callback URLs are replaced still exists.

    With --yes, this check replaces the confirmation prompt.

    Args:
        other_stages: See `Changes`.

    Raises:
        OperatorError: One of the stages still exists.
    """
    for name, url in other_stages.items():
        if _is_served(url):
            raise OperatorError(
                "Nothing was changed in Twilio, because the changes would stop TaskRouter from "
                f"calling stage {name}. Each stage needs its own Workspace; correct the SIDs in "
                ".chalice/config.json. To redirect the callbacks anyway, run this command in a "
                "terminal without --yes."
            )


def find_changes(workspace: Workspace, base_url: str, prefix: str) -> Changes:
    """Return the changes that direct TaskRouter's callbacks to this deployment.

    The lines contain ``***`` instead of parts of URLs that may be secret.
    """
    changes = Changes()
    workflow, remote = workspace.fetch_workflow(), workspace.fetch()
    for resource, urls, new_values in (
        (workflow, _WORKFLOW_URLS, changes.workflow),
        (remote, _WORKSPACE_URLS, changes.workspace),
    ):
        for name, (label, path) in urls.items():
            old, new = getattr(resource, name) or "", f"{base_url}{prefix}{path}"
            address = _without_query_and_fragment(old)
            if address != new:
                # Keep a query and connection overrides that the operator has added to the route's
                # URL.
                new += old[len(address) :] if address.endswith(path) else ""
                new_values[name] = new
                shown = mask(old, base_url) or "none"
                for stage, callback_url in find_other_stages([old], base_url).items():
                    changes.other_stages[stage] = callback_url
                    shown += f" (stage {stage} of this service)"
                changes.lines.append(f"{label}: {shown} -> {mask(new, base_url)}")
    if excluded := find_excluded_events(remote):
        changes.workspace[_EVENTS_FILTER] = ",".join([*_selected_events(remote), *excluded])
        changes.lines.append(f"{EVENT_FILTER_LABEL}: also {', '.join(excluded)}")
    return changes


def describe_remedy(stage: Stage, values: str) -> str:
    """Return instructions for correcting the callback URLs or the event filter.

    Args:
        stage: The stage.
        values: A phrase for the values that a definition of the Workspace must contain.
    """
    command = f"python -m infra deploy --stage {stage.name}"
    if stage.workspace_file:
        return f"Make sure that {stage.workspace_file} contains {values}. Then run: {command}"
    return f"Run: {command}"


def find_excluded_events(remote: Any) -> list[str]:
    """Return the event types that the service needs, but that a Workspace's filter excludes.

    Args:
        remote: The SDK's instance for the Workspace.
    """
    # An empty filter selects all events (https://www.twilio.com/docs/taskrouter/api/workspace).
    selected = _selected_events(remote)
    return [name for name in NEEDED_EVENTS if selected and name not in selected]


def _selected_events(remote: Any) -> list[str]:
    return [name.strip() for name in (remote.events_filter or "").split(",") if name.strip()]


def posts_to_deployment(workflow: Any, base_url: str) -> bool:
    """Return whether a Workflow posts assignment callbacks to a deployment.

    Args:
        workflow: The SDK's instance for the Workflow.
        base_url: The base URL of the routes.
    """
    addresses = {
        _without_query_and_fragment(getattr(workflow, name) or "") for name in _WORKFLOW_URLS
    }
    return any(address.startswith(f"{base_url}/") for address in addresses)


def find_other_stages(urls: Iterable[str], base_url: str) -> dict[str, str]:
    """Return the assignment callback URLs of other declared stages, by stage name.

    Args:
        urls: Callback URLs, some of which may belong to other stages.
        base_url: The URL of this stage's API.
    """
    found = {}
    for url in urls:
        address = _without_query_and_fragment(url).rstrip("/")
        for path in _PATHS:
            if address.endswith(path) and (stage := _find_stage(address, path, base_url)):
                found[stage] = f"{address.removesuffix(path)}/assignment_callback"
    return found


def _find_stage(address: str, path: str, base_url: str) -> str | None:
    """Return the other declared stage to which an address belongs, or None."""
    if base_url and address.startswith(f"{base_url}/"):
        return None
    for name in stage_config.project()["stages"]:
        # The name may be followed by a secret segment.
        pattern = f"https?://.+/{re.escape(name)}(/[^/]+)?{path}"
        if not base_url.endswith(f"/{name}") and re.fullmatch(pattern, address):
            return str(name)
    return None


def may_contain_secret(url: str) -> bool:
    """Return whether a URL is malformed or has a part that may be secret, such as a query."""
    return not _PUBLIC_URL.fullmatch(url)


def mask(url: str, base_url: str) -> str:
    """Return a URL with ``***`` instead of parts that may be secret.

    In the URL of one of the deployment's routes, these parts are the query, any segment between the
    base URL and the route, and a fragment that is not a list of connection overrides. Any other URL
    that may contain a secret is reduced to its base URL or its origin, or is masked completely.
    """
    is_own = base_url and url.startswith(f"{base_url}/")
    if is_own and (route := _OWN_ROUTE.fullmatch(url.removeprefix(base_url))):
        secret, path, query, fragment = route.groups(default="")
        shown_fragment = fragment
        if fragment and not re.fullmatch(_OVERRIDES, fragment):
            shown_fragment = "#***"
        return f"{base_url}{secret and '/***'}{path}{query and '?***'}{shown_fragment}"
    if not url or not may_contain_secret(url):
        return url
    if is_own:
        return f"{base_url}/***"
    # In a malformed URL, a password may contain a slash, "?" or "#", and its start would be shown.
    origin = None if "@" in url else re.match(_ORIGIN, url)
    return f"{origin[0]}/***" if origin else "***"


def _without_query_and_fragment(url: str) -> str:
    """Return a URL without its query and its fragment, both of which operators may add."""
    return url.partition("#")[0].partition("?")[0]


def parse_email(text: str) -> str:
    """Return an email address without surrounding whitespace.

    Raises:
        click.BadParameter: The text is not an email address.
    """
    if not re.fullmatch(_EMAIL, text.strip()):
        raise click.BadParameter("The value must be an email address, such as you@example.com.")
    return text.strip()


def subscribe_to_alarms(
    aws: Aws, stage: Stage, topic: str, email: str | None, *, may_ask: bool
) -> None:
    """Subscribe an email address to the alarms, unless it has a confirmed subscription.

    For an address whose subscription is pending, SNS sends another confirmation email.

    Args:
        aws: The account and region.
        stage: The deployed stage.
        topic: ARN of the alarms' topic.
        email: The address, or None if the operator has not specified an address.
        may_ask: Whether to ask for an address if *email* is None and nobody has confirmed a
            subscription.
    """
    subscribers = live_state.list_subscribers(aws, topic)
    if email is None and not subscribers and may_ask:
        question = "Email address for the alarms (leave empty for none)"
        email = ask(question, default="", parse=lambda text: text and parse_email(text))
    if email and email not in subscribers:
        aws.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=email)
        click.echo(
            f"AWS has sent an email to {email}. The recipient receives alarms only after "
            "confirming the subscription with the link in that email.",
            err=True,
        )
    elif not subscribers:
        click.echo(
            "Nobody receives the alarms. To subscribe, run: python -m infra deploy --stage "
            f"{stage.name} --alarm-email you@example.com",
            err=True,
        )
