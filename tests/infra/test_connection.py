"""The deploy command sets the callback URLs and subscribes an address to the alarms."""

from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.callbacks import EVENT_TYPES
from infra.__main__ import main
from infra.aws import chalice_record, live_resources, stacks
from infra.commands import connection
from infra.commands.connection import subscribe_to_alarms
from infra.twilio_account import Workspace
from tests.infra.new_stage import BUCKET, PARAMETER, URL
from tests.infra.test_smoke_test import REFUSED, serve  # noqa: F401  # a fixture

PRIMARY, FALLBACK, EVENT = (
    f"{URL}{path}"
    for path in ("/assignment_callback", "/assignment_callback/fallback", "/event_callback")
)
OTHER_URL = "https://other.example/callback"
EMAIL = "you@example.com"
NOBODY = "Nobody receives the alarms."


@pytest.fixture
def stage(new_stage):
    """A configured stage whose first deployment has completed."""
    new_stage.configure()
    new_stage.set(RESERVATION_TIMEOUT_SECONDS="1200")
    new_stage.is_first = False
    return new_stage


def urls(stage):
    workflow, workspace = stage.workflow.fetch(), stage.workspace.fetch()
    return (
        workflow.assignment_callback_url,
        workflow.fallback_assignment_callback_url,
        workspace.event_callback_url,
    )


def test_urls_are_shown_and_set_after_confirmation(stage):
    stage.in_terminal = True

    result = stage.deploy(answers=["y"])

    assert result.exit_code == 0, result.output
    assert f"Workflow, assignment callback: none -> {PRIMARY}\n" in result.output
    assert f"Workspace, event callback: none -> {EVENT}\n" in result.output
    assert "Twilio has stored the changes." in result.output
    assert urls(stage) == (PRIMARY, FALLBACK, EVENT)


def test_status_shows_the_callback_urls_that_differ(stage, monkeypatch):
    monkeypatch.setattr(chalice_record, "public_url", lambda *_: URL)
    stage.deploy("--yes")
    assert shown_by_status()["callback_urls"] == "ok"

    stage.workflow.update(assignment_callback_url=OTHER_URL)

    assert (
        shown_by_status()["callback_urls"]
        == f"Workflow, assignment callback: {OTHER_URL} -> {PRIMARY}"
    )


def test_status_without_stored_secrets_says_how_to_store_them(stage, monkeypatch):
    monkeypatch.setattr(chalice_record, "public_url", lambda *_: URL)
    boto3.client("ssm").delete_parameter(Name=PARAMETER)

    shown = shown_by_status()

    assert shown["callback_urls"].endswith("python -m infra secrets put --stage dev")
    assert shown["ok"] == "False"


def shown_by_status():
    """Return the lines of the status command as a mapping from name to text."""
    lines = CliRunner().invoke(main, ["status", "--stage", "dev"]).stdout.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def test_prompt_is_repeated_after_an_answer_other_than_yes_or_no(stage):
    stage.in_terminal = True

    result = stage.deploy(answers=["maybe", "no"])

    assert "Error: Answer y for yes, or n for no.\nChange them? [y/N]: " in result.output
    assert urls(stage) == (None, None, None)


def test_urls_of_another_app_are_kept_if_the_operator_declines(stage):
    stage.in_terminal = True
    stage.workflow.update(assignment_callback_url=OTHER_URL)

    result = stage.deploy(answers=["n"])

    assert result.exit_code == 0, result.output
    assert f"assignment callback: {OTHER_URL} -> {PRIMARY}\n" in result.output
    assert "The settings were not changed." in result.output
    assert urls(stage) == (OTHER_URL, None, None)


@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("/prod/assignment_callback", " (stage prod of this service)"),
        (f"/prod/{'s' * 20}/assignment_callback#rc=2", " (stage prod of this service)"),
        ("/dev/assignment_callback", ""),
        ("/staging/assignment_callback", ""),
        ("/prod/other", ""),
        ("/prod/a/b/assignment_callback", ""),
    ],
)
def test_replaced_url_is_labeled_if_it_belongs_to_another_stage(stage, path, note):
    stage.workflow.update(assignment_callback_url=f"https://removed.example{path}")

    output = stage.deploy().output

    shown = "/***" if "s" * 20 in path else path
    overrides = path.partition("assignment_callback")[2]
    change = f"callback: https://removed.example{shown}{note} -> {PRIMARY}{overrides}\n"
    assert change in output


def test_secret_segment_is_set_but_not_shown(stage):
    stage.set(CALLBACK_PATH_SECRETS="first-secret_0123456")

    result = stage.deploy("--yes")

    assert result.exit_code == 0, result.output
    assert f"Workflow, fallback: none -> {URL}/***/assignment_callback/fallback\n" in result.output
    assert "first-secret" not in result.output
    secret_url = f"{URL}/first-secret_0123456"
    assert urls(stage) == tuple(url.replace(URL, secret_url) for url in (PRIMARY, FALLBACK, EVENT))


OLD_SECRET = "old-secret_0123456789"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{URL}/{OLD_SECRET}/assignment_callback", f"{URL}/***/assignment_callback"),
        (f"{URL}/short/assignment_callback", f"{URL}/***/assignment_callback"),
        (f"{URL}/a/b/event_callback/", f"{URL}/***/event_callback/"),
        (f"{URL}/{OLD_SECRET}/assignment_callback/fallback#rc=2", "/fallback#rc=2"),
        (f"{URL}/{OLD_SECRET}", f"{URL}/***"),
        (f"{URL}/{OLD_SECRET}/other", f"{URL}/***"),
        (f"https://a.example/dev/{OLD_SECRET}/x?a=1", "https://a.example/***"),
        (f"https://me:{OLD_SECRET}@a.example/x", "***"),
        (f"https://a.example/x?token={OLD_SECRET}#rc=2", "https://a.example/***"),
        (f"https://a.example/eyJ.{OLD_SECRET}.x==/y", "https://a.example/***"),
        (f"https://a.example/cb;token={OLD_SECRET}", "https://a.example/***"),
        (f"https://a-long-name.example.com//{OLD_SECRET}", "https://a-long-name.example.com/***"),
        (f"https://a.example/x#token={OLD_SECRET}", "https://a.example/***"),
        ("https://a.example/x#rc=2&rp=all,4xx", "https://a.example/x#rc=2&rp=all,4xx"),
    ],
)
def test_secret_in_an_old_url_is_not_shown(stage, url, shown):
    stage.set(CALLBACK_PATH_SECRETS="first-secret_0123456")
    stage.workflow.update(assignment_callback_url=url)

    result = stage.deploy()

    assert f"{shown} -> {URL}/***/assignment_callback\n" in result.output
    for secret in (OLD_SECRET, "short", "first-secret"):
        assert secret not in result.output


@settings(max_examples=200, deadline=None)
@given(
    secret=st.from_regex("[A-Za-z0-9_.=;%~+-]{20,64}", fullmatch=True),
    base=st.sampled_from([URL, URL.replace("own", "removed"), "https://calls.example.com"]),
    route=st.sampled_from(["/assignment_callback", "/assignment_callback/fallback", "/x", ""]),
)
def test_no_path_secret_is_shown(secret, base, route):
    assert secret not in connection.mask(f"{base}/{secret}{route}", URL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:p@w/d@h.example/x", "***"),
        ("HTTP://user:p@w/d@h.example/x?a=1#rc=2", "***"),
        ("https:/user:p/w@h.example/x", "***"),
        ("user:p/w@h.example/x", "***"),
        ("https://user:p?w@h.example/x", "***"),
        ("https://user:p#w@h.example/x", "***"),
        (f"{URL}/x?email=me@h.example", f"{URL}/***"),
        (f"{URL}/x#me@h.example", f"{URL}/***"),
        (f"{URL}/event_callback?email=me@h.example", f"{URL}/event_callback?***"),
        (f"{URL}/event_callback#me@h.example", f"{URL}/event_callback#***"),
        (f"{URL}.example/x@h.example/y", "***"),
        ("HTTPS://h.example/x?a", "HTTPS://h.example/***"),
        ("h.example/x", "***"),
        ("https://h.example", "https://h.example"),
        ("https://h.example/1234567890123456789/", "https://h.example/1234567890123456789/"),
        ("https://h.example/x\ny", "https://h.example/***"),
        (f"{URL}/event_callback?a\nb", f"{URL}/event_callback?***"),
        (f"{URL}/a/event_callback//?a?b#rc=2", f"{URL}/***/event_callback//?***#rc=2"),
    ],
)
def test_secret_part_of_a_url_is_masked(url, shown):
    assert connection.mask(url, URL) == shown


@settings(max_examples=200, deadline=None)
@given(
    user=st.text("u:/?#@%", max_size=4),
    before=st.text("p:/?#@% \n", max_size=4),
    after=st.text("w:/?#@% \n", max_size=4),
    scheme=st.sampled_from(["https://", "http://", "https:/", "//", ""]),
    base_url=st.sampled_from([URL, ""]),
)
def test_no_password_is_shown_even_if_the_url_is_malformed(user, before, after, scheme, base_url):
    url = f"{scheme}{user}:{before}secret{after}@h.example/x?a=1#rc=2"
    assert "secret" not in connection.mask(url, base_url)


def test_urls_are_kept_without_a_terminal_unless_the_change_is_confirmed_in_advance(stage):
    stage.workflow.update(assignment_callback_url=OTHER_URL)

    assert "run this command again with --yes" in stage.deploy().output
    assert urls(stage) == (OTHER_URL, None, None)

    assert f"{OTHER_URL} -> {PRIMARY}" in stage.deploy("--yes").output
    assert urls(stage) == (PRIMARY, FALLBACK, EVENT)


def test_only_changed_properties_are_written(stage):
    stage.deploy("--yes")
    stage.workflow.update(fallback_assignment_callback_url=OTHER_URL)

    result = stage.deploy("--yes")

    assert "assignment callback: " not in result.output
    (*_, update) = [entry for entry in stage.twilio.log("request") if entry["method"] == "POST"]
    assert update["parameters"] == {"FallbackAssignmentCallbackUrl": FALLBACK}


def test_url_of_a_removed_deployment_of_the_stage_is_replaced(stage):
    stage.workflow.update(assignment_callback_url=PRIMARY.replace("own", "removed"))

    stage.deploy("--yes")

    assert urls(stage) == (PRIMARY, FALLBACK, EVENT)


@pytest.mark.parametrize("suffix", ["#rc=2", "?tenant=acme", "?tenant=acme#rp=all"])
def test_connection_overrides_and_query_string_are_kept(stage, suffix):
    stage.deploy("--yes")
    stage.workflow.update(assignment_callback_url=f"{PRIMARY}{suffix}")

    assert "differ" not in stage.deploy("--yes").output
    assert urls(stage)[0] == f"{PRIMARY}{suffix}"


@pytest.mark.parametrize("suffix", ["#rc=2", "?tenant=acme", "?tenant=acme#rp=all"])
def test_connection_overrides_and_query_string_are_kept_if_a_removed_stage_is_deployed_again(
    stage, suffix
):
    stage.deploy("--yes")
    removed = [url.replace("own", "removed") + suffix for url in (PRIMARY, FALLBACK, EVENT)]
    stage.workflow.update(
        assignment_callback_url=removed[0], fallback_assignment_callback_url=removed[1]
    )
    stage.workspace.update(event_callback_url=removed[2])

    output = stage.deploy("--yes").output

    shown = suffix.replace("tenant=acme", "***")
    hidden = removed[1] if suffix == "#rc=2" else f"{removed[1].partition('/dev')[0]}/***"
    assert f"Workflow, fallback: {hidden} -> {FALLBACK}{shown}\n" in output
    assert "acme" not in output
    assert urls(stage) == (PRIMARY + suffix, FALLBACK + suffix, EVENT + suffix)


def test_query_of_an_unrelated_url_is_not_kept(stage):
    stage.workflow.update(assignment_callback_url=f"{OTHER_URL}?a=b#rc=2")

    stage.deploy("--yes")

    assert urls(stage)[0] == PRIMARY


@pytest.mark.parametrize("suffix", ["", "?tenant=acme#rc=2", "/"])
def test_callbacks_of_another_stage_are_redirected_only_if_the_operator_confirms_in_a_terminal(
    stage, monkeypatch, suffix
):
    requested = []
    monkeypatch.setattr(connection, "_is_served", lambda url: requested.append(url) or True)
    url = f"https://a.example/prod/assignment_callback{suffix}"
    stage.workflow.update(assignment_callback_url=url)

    result = stage.deploy("--yes")

    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        "Error: Nothing was changed in Twilio, because the changes would stop TaskRouter from "
        "calling stage prod. Each stage needs"
    )
    assert requested == ["https://a.example/prod/assignment_callback"]
    assert urls(stage) == (url, None, None)

    stage.in_terminal = True
    assert stage.deploy(answers=["y"]).exit_code == 0
    assert urls(stage)[0].startswith(PRIMARY)


def test_callbacks_of_a_removed_stage_are_redirected(stage):
    url = "http://127.0.0.1:1/prod/assignment_callback"
    stage.workflow.update(assignment_callback_url=url)

    assert stage.deploy("--yes").exit_code == 0
    assert urls(stage) == (PRIMARY, FALLBACK, EVENT)


@pytest.mark.parametrize("url", [f"{PRIMARY}/", f"{PRIMARY}2", FALLBACK, f"http{PRIMARY[5:]}"])
def test_url_that_only_resembles_the_callback_url_is_replaced(stage, url):
    stage.workflow.update(assignment_callback_url=url)

    stage.deploy("--yes")

    assert urls(stage)[0] == PRIMARY


def test_skipped_urls_are_neither_shown_nor_changed(stage):
    result = stage.deploy("--no-callback-urls", "--yes")

    assert "callback URLs" not in result.output
    assert urls(stage) == (None, None, None)


def test_event_filter_is_extended_with_the_missing_events(stage):
    stage.workspace.update(events_filter="task.created,reservation.created")

    result = stage.deploy("--yes")

    assert "Workspace, event filter: also reservation.accepted, " in result.output
    selected = stage.workspace.fetch().events_filter.split(",")
    assert selected[:2] == ["task.created", "reservation.created"]
    assert {*selected} == {"task.created", "worker.activity.update", *EVENT_TYPES}


ALL_NEEDED = ", ".join([*EVENT_TYPES, "worker.activity.update", "worker.created"])


@pytest.mark.parametrize("selected", ["", ALL_NEEDED])
def test_event_filter_that_selects_all_needed_events_is_kept(stage, selected):
    stage.workspace.update(events_filter=selected)

    stage.deploy("--yes")

    assert stage.workspace.fetch().events_filter == (selected or None)


def test_change_that_twilio_does_not_store_is_an_error(stage, monkeypatch):
    monkeypatch.setattr(Workspace, "update", lambda *_, **__: None)

    result = stage.deploy("--yes")

    assert result.exit_code == 1
    assert "Error: Twilio did not store these changes: Workspace, event callback" in result.output


def subscribers(stage):
    listed = boto3.client("sns").list_subscriptions_by_topic(TopicArn=stage.topic)
    return [item["Endpoint"] for item in listed["Subscriptions"]]


def test_given_address_is_subscribed_once(stage):
    result = stage.deploy("--alarm-email", EMAIL)

    assert f"AWS has sent an email to {EMAIL}. The recipient receives alarms only" in result.output
    assert "AWS has sent" not in stage.deploy("--alarm-email", EMAIL).output
    assert NOBODY not in stage.deploy().output
    assert subscribers(stage) == [EMAIL]


def test_second_address_is_added(stage):
    stage.deploy("--alarm-email", EMAIL)
    stage.deploy("--alarm-email", "team@example.com")
    assert sorted(subscribers(stage)) == ["team@example.com", EMAIL]


@pytest.fixture(params=["PendingConfirmation", "Deleted"])
def unconfirmed(request):
    """An AWS account whose topic has a pending or deleted subscription, and its subscribe calls."""
    calls = []
    listed = {"Subscriptions": [{"SubscriptionArn": request.param, "Endpoint": EMAIL}]}
    sns = SimpleNamespace(
        get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [listed]),
        subscribe=lambda **call: calls.append(call),
    )
    return SimpleNamespace(client=lambda _: sns), calls


def test_address_without_a_confirmed_subscription_gets_an_email(unconfirmed, capsys):
    aws, calls = unconfirmed

    subscribe_to_alarms(aws, SimpleNamespace(name="dev"), "topic", EMAIL, may_ask=False)

    assert calls == [{"TopicArn": "topic", "Protocol": "email", "Endpoint": EMAIL}]
    assert f"AWS has sent an email to {EMAIL}." in capsys.readouterr().err


def test_unconfirmed_address_is_not_treated_as_a_recipient(unconfirmed, capsys):
    aws, calls = unconfirmed

    subscribe_to_alarms(aws, SimpleNamespace(name="dev"), "topic", None, may_ask=False)

    assert calls == []
    assert NOBODY in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answers", "expected"), [(["x", EMAIL], [EMAIL]), ([""], []), ([f" {EMAIL} "], [EMAIL])]
)
def test_operator_is_asked_for_an_address_after_the_first_deployment(stage, answers, expected):
    stage.in_terminal = stage.is_first = True

    result = stage.deploy("--no-callback-urls", "--no-try", answers=answers)

    assert result.exit_code == 0, result.output
    assert subscribers(stage) == expected
    assert (NOBODY in result.output) == (not expected)


def test_later_deployment_prints_the_subscribe_command_instead_of_a_prompt(stage):
    stage.in_terminal = True

    result = stage.deploy("--no-callback-urls")

    assert result.exit_code == 0, result.output
    assert f"{NOBODY} To subscribe, run: python -m infra deploy --stage dev" in result.output


@pytest.mark.parametrize("address", ["", "you", "you@example", "a b@example.com", "@example.com"])
def test_malformed_address_is_refused_before_the_deployment(stage, address):
    result = stage.deploy("--alarm-email", address)

    assert result.exit_code == 2
    assert "must be an email address" in result.output
    assert stage.deployments == 0


@pytest.fixture
def serve_elsewhere(stage, serve, monkeypatch):  # noqa: F811
    """A function that starts a server and points the Workflow's callback URL at the server."""
    outputs = stacks.outputs
    monkeypatch.setattr(stacks, "outputs", lambda *_: outputs() if stage.deployments else {})
    monkeypatch.setattr(live_resources, "find_api_id", lambda *_, **__: None)
    monkeypatch.setattr(stacks, "create_or_update", lambda *_: pytest.fail("A stack was written."))

    def start(path="/dev/assignment_callback", response=REFUSED):
        url = f"{serve((200, {}), response)}{path}"
        stage.workflow.update(assignment_callback_url=url)
        return url

    start.paths = serve.paths
    return start


def already_deployed_message(base):
    return (
        f"Error: Stage dev is already deployed at {base}, in an account other than 123456789012. "
        "Use the credentials of that account, or clear the Workflow's callback URL."
    )


@pytest.mark.parametrize("command", [["deploy", "--yes"], ["prepare"]], ids=" ".join)
@pytest.mark.parametrize("segment", ["", f"/{OLD_SECRET}"])
def test_stage_that_responds_in_another_account_is_not_created_again(
    stage, serve_elsewhere, command, segment
):
    url = serve_elsewhere(f"/dev{segment}/assignment_callback")
    before = stage.config.read_text()

    result = CliRunner().invoke(main, [*command, "--stage", "dev"])

    assert result.exit_code == 1
    base = url.removesuffix(f"{segment}/assignment_callback")
    assert result.output.splitlines()[-1] == already_deployed_message(base)
    assert OLD_SECRET not in result.output
    assert serve_elsewhere.paths == [f"/dev{segment}/assignment_callback/fallback"]
    assert (stage.deployments, stage.config.read_text()) == (0, before)
    assert urls(stage) == (url, None, None)


def test_unconfigured_checkout_does_not_replace_a_stage_in_another_account(
    new_stage, serve_elsewhere
):
    serve_elsewhere()
    boto3.client("ssm").delete_parameter(Name=PARAMETER)
    new_stage.set(TWILIO_ACCOUNT_SID="", TWILIO_WORKSPACE_SID="", TWILIO_WORKFLOW_SID="")

    result = new_stage.deploy("--yes", **new_stage.environ)

    assert "Error: Stage dev is already deployed at " in result.output
    assert new_stage.secrets is None
    assert new_stage.variables["TWILIO_ACCOUNT_SID"] == ""


def test_stage_with_a_custom_domain_is_not_created_again(stage, serve_elsewhere):
    base = serve_elsewhere("/calls/assignment_callback").removesuffix("/assignment_callback")
    stage.set(PUBLIC_BASE_URL=base)

    assert stage.deploy("--yes").output.splitlines()[-1] == already_deployed_message(base)


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("/dev/assignment_callback", (403, {"message": "Forbidden"})),
        ("/dev/assignment_callback", (200, ["Code"])),
        ("/dev/assignment_callback", (302, "Code")),
        ("/prod/assignment_callback", REFUSED),
        ("/my-dev/assignment_callback", REFUSED),
        ("/dev/a/b/assignment_callback", REFUSED),
        ("/dev/other", REFUSED),
    ],
)
def test_stage_is_created_if_no_stage_with_its_name_responds(
    stage, serve_elsewhere, path, response
):
    serve_elsewhere(path, response)

    result = stage.deploy()

    assert (result.exit_code, stage.deployments) == (0, 1), result.output


def test_stage_is_created_if_its_old_url_is_unreachable(stage, serve_elsewhere):
    stage.workflow.update(assignment_callback_url="http://127.0.0.1:1/dev/assignment_callback")

    stage.deploy("--yes")

    assert stage.deployments == 1


@pytest.mark.parametrize(
    "existing",
    [
        (stacks, "outputs", {"Deployments": BUCKET, "AlarmTopic": "arn"}),
        (live_resources, "find_api_id", "own"),
    ],
)
def test_stage_in_this_account_is_updated_without_a_request_to_its_old_url(
    stage, serve_elsewhere, monkeypatch, existing
):
    serve_elsewhere()
    owner, name, value = existing
    monkeypatch.setattr(owner, name, lambda *_, **__: value)

    stage.deploy("--yes")

    assert (stage.deployments, serve_elsewhere.paths) == (1, [])
