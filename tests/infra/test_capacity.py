"""The limits of a stage are derived from Lambda's limit on concurrent executions."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from hypothesis import assume, given
from hypothesis import strategies as st

from app import app
from chalicelib.adapters import callback_log, oidc
from chalicelib.routes.callbacks import twilio_routes
from chalicelib.usecases.deadlines import REQUEST_LIMIT_MS
from infra import OperatorError
from infra.aws import api_settings, capacity
from infra.aws.capacity import Throttle
from infra.aws.stage_config import Stage

CONCURRENCY = st.integers(min_value=1, max_value=100_000)
SHARE = st.floats(min_value=0.01, max_value=1)
RESERVED = st.none() | st.integers(min_value=1, max_value=1_000)


API, SWEEP = "taskrouter-callbacks-dev", "taskrouter-callbacks-dev-sweep"


def account(limit, unreserved=None, existing=None):
    """Return a fake account with this limit on concurrent executions.

    Args:
        limit: The limit.
        unreserved: The part of the limit that no function has reserved; by default, the limit.
        existing: The existing functions' reserved concurrency by name, or None for a function
            without reserved concurrency. By default, no function exists.
    """
    unreserved = limit if unreserved is None else unreserved
    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}

    def get_function_concurrency(FunctionName):  # noqa: N803  boto3's name
        if FunctionName not in (existing or {}):
            response = {"Error": {"Code": "ResourceNotFoundException", "Message": "No function."}}
            raise ClientError(response, "GetFunctionConcurrency")
        number = existing[FunctionName]
        return {} if number is None else {"ReservedConcurrentExecutions": number}

    functions = SimpleNamespace(
        get_account_settings=lambda: {"AccountLimit": limits},
        get_function_concurrency=get_function_concurrency,
    )
    return SimpleNamespace(account="1" * 12, region="eu-west-1", client=lambda _: functions)


def stage(reserved=None, sweep=None, agents=150):
    return Stage(
        "dev",
        "taskrouter-callbacks",
        SimpleNamespace(console_agents=agents),
        reserved_concurrency=reserved,
        reserved_sweep_concurrency=sweep,
    )


def stage_settings(*, tutorial_routes=False, prefixes=("",), agents=150, oidc_issuer=""):
    """Return the settings from which the throttles are derived."""
    return SimpleNamespace(
        callback_prefixes=prefixes,
        tutorial_routes=tutorial_routes,
        console_agents=agents,
        oidc_issuer=oidc_issuer,
    )


@pytest.mark.parametrize(
    ("limit", "unreserved", "reserved", "concurrency"),
    [
        (10, 10, None, 10),
        (1_000, 1_000, None, 1_000),
        (1_000, 400, None, 400),  # other functions have reserved 600
        (1_000, 950, 50, 50),
        (150, 150, 50, 50),
        (1_000, 150, 50, 50),
    ],
)
def test_reserved_concurrency_of_a_stage_replaces_the_unreserved_concurrency_of_the_account(
    limit, unreserved, reserved, concurrency
):
    assert capacity.read_concurrency(account(limit, unreserved), stage(reserved)) == concurrency


@pytest.mark.parametrize(
    ("existing", "reserved", "sweep", "concurrency"),
    [
        ({API: 50, SWEEP: None}, None, None, 450),
        ({API: 50, SWEEP: 10}, None, None, 460),
        ({API: None, SWEEP: None}, None, 10, 390),
        ({API: 50, SWEEP: 10}, None, 20, 440),
        ({API: 50, SWEEP: 10}, 70, 10, 70),
    ],
)
def test_concurrency_is_computed_with_the_new_reserved_concurrency(
    existing, reserved, sweep, concurrency
):
    aws = account(1_000, 400, existing)

    assert capacity.read_concurrency(aws, stage(reserved, sweep)) == concurrency


@given(
    limit=CONCURRENCY,
    others=st.integers(0, 2_000),
    existing=st.tuples(RESERVED, RESERVED),
    new=st.tuples(RESERVED, RESERVED),
)
def test_reserved_concurrency_is_accepted_if_lambda_can_keep_100_unreserved(
    limit, others, existing, new
):
    currently_reserved = sum(number or 0 for number in existing)
    assume(others + currently_reserved <= limit)
    aws = account(
        limit, limit - others - currently_reserved, dict(zip((API, SWEEP), existing, strict=True))
    )
    is_possible = new == (None, None) or limit - others - sum(number or 0 for number in new) >= 100

    if is_possible:
        left = limit - others - sum(number or 0 for number in new)
        assert capacity.read_concurrency(aws, stage(*new)) == (left if new[0] is None else new[0])
    else:
        with pytest.raises(OperatorError):
            capacity.read_concurrency(aws, stage(*new))


@pytest.mark.parametrize(
    ("limit", "unreserved", "existing", "new", "message"),
    [
        (
            10,
            10,
            {},
            (1, None),
            (
                "1 for api_handler, but Lambda allows only 10 concurrent executions in account "
                "111111111111, eu-west-1. Other functions have reserved 0 of these, and Lambda "
                "requires 100 to remain unreserved. Remove reserved_concurrency, or request a "
                "higher limit: "
            ),
        ),
        (
            1_000,
            400,
            {},
            (301, None),
            (
                "301 for api_handler, but Lambda allows only 1000 concurrent executions in account "
                "111111111111, eu-west-1. Other functions have reserved 600 of these, and Lambda "
                "requires 100 to remain unreserved. Reserve at most 300 in total, or request a "
                "higher limit: "
            ),
        ),
        (
            1_000,
            400,
            {API: 50, SWEEP: None},
            (300, 51),
            (
                "300 for api_handler and 51 for sweep, but Lambda allows only 1000 concurrent "
                "executions in account 111111111111, eu-west-1. Other functions have reserved 550 "
                "of these, and Lambda requires 100 to remain unreserved. Reserve at most 350 in "
                "total, or "
            ),
        ),
        (149, 149, {}, (None, 50), "50 for sweep, but Lambda allows only 149 concurrent "),
    ],
)
def test_error_for_refused_reserved_concurrency_states_the_numbers(
    limit, unreserved, existing, new, message
):
    with pytest.raises(OperatorError) as raised:
        capacity.read_concurrency(account(limit, unreserved, existing), stage(*new))

    assert str(raised.value).startswith(f"Stage dev sets reserved_concurrency to {message}")


@pytest.mark.parametrize(
    ("limit", "unreserved", "reserved", "desired"),
    [(10, 10, 1, 1_000), (1_000, 1_000, 901, 1_001), (1_000, 400, 500, 1_200)],
)
def test_requested_limit_is_enough_for_the_reserved_concurrency(
    limit, unreserved, reserved, desired
):
    with pytest.raises(OperatorError, match=f"--quota-code L-B99A9384 --desired-value {desired}$"):
        capacity.read_concurrency(account(limit, unreserved), stage(reserved))


def test_denied_read_of_reserved_concurrency_is_an_error():
    aws = account(1_000)

    def deny(**_):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetFunctionConcurrency")

    aws.client("lambda").get_function_concurrency = deny
    with pytest.raises(ClientError):
        capacity.read_concurrency(aws, stage(50))


def test_hint_for_a_new_account_states_the_throttles_and_how_to_raise_them():
    accept, few_agents = Throttle(rate=0.16, burst=2), stage(agents=10)
    assert capacity.describe_low_concurrency(account(10), few_agents, 10, accept) == (
        "Functions without reserved concurrency share only 10 concurrent executions in account "
        "111111111111, eu-west-1, so each callback route is limited to 100 requests/s, events to "
        "10, accept requests to 0.16 with bursts of 2, and other methods to at most 5. To raise "
        "these limits, request a higher limit: aws service-quotas request-service-quota-increase "
        "--service-code lambda --quota-code L-B99A9384 --desired-value 1000"
    )


@pytest.mark.parametrize(
    ("concurrency", "agents", "admitted"), [(10, 150, 10), (10, 11, 10), (99, 150, 99)]
)
def test_hint_states_the_number_of_agents_whose_consoles_can_poll(concurrency, agents, admitted):
    accept = Throttle(rate=1, burst=1)
    crowded = stage(agents=agents)
    hint = capacity.describe_low_concurrency(account(10), crowded, concurrency, accept)
    assert (
        f". The consoles of only about {admitted} agents can poll at the same time, although "
        f"CONSOLE_AGENTS is {agents}. To raise these limits, "
    ) in hint


@pytest.mark.parametrize(("concurrency", "reserved"), [(100, None), (1_000, None), (20, 20)])
def test_sufficient_or_reserved_concurrency_needs_no_hint(concurrency, reserved):
    accept = Throttle(rate=1, burst=1)
    hint = capacity.describe_low_concurrency(account(1_000), stage(reserved), concurrency, accept)
    assert hint is None


@given(concurrency=CONCURRENCY)
def test_admitted_requests_fit_into_the_concurrency(concurrency):
    callback = capacity.callback_throttle(concurrency)
    default = capacity.default_throttle(concurrency)
    assert callback.rate * capacity.CALLBACK_SECONDS <= concurrency
    assert callback.burst <= concurrency
    assert default.rate * capacity.DEFAULT_SECONDS <= concurrency / 4
    assert default.burst <= max(concurrency / 4, 1)
    overview = capacity.console_throttle(concurrency, 10_000)
    assert overview.rate <= concurrency / 2
    assert overview.burst <= max(concurrency / 5, 1)
    assert callback.rate > default.rate
    assert 1 <= capacity.alarm_threshold(concurrency) <= concurrency


@given(concurrency=CONCURRENCY | st.integers(1, 10), tutorial_routes=st.booleans())
def test_no_method_is_blocked_by_its_throttle(concurrency, tutorial_routes):
    settings = stage_settings(tutorial_routes=tutorial_routes)
    for setting in api_settings._method_settings(SimpleNamespace(settings=settings), concurrency):
        assert setting.throttle.rate > 0, setting
        assert setting.throttle.burst >= 1, setting


@pytest.mark.parametrize(("concurrency", "rate"), [(1, 0.5), (3, 1.5), (10, 5)])
def test_fractional_rates_are_not_rounded(concurrency, rate):
    assert capacity.default_throttle(concurrency).rate == rate


@given(concurrency=CONCURRENCY)
def test_events_use_at_most_a_tenth_of_the_concurrency_and_a_fifth_in_a_burst(concurrency):
    throttle = capacity.event_throttle(concurrency)

    assert throttle.rate == min(concurrency, capacity.MAX_CALLBACK_THROTTLE.rate)
    assert throttle.burst == max(1, min(concurrency // 5, 1_000))


@given(concurrency=CONCURRENCY, agents=st.integers(1, 10_000))
def test_polls_of_all_agents_are_admitted_if_they_fit_into_a_twentieth_of_the_concurrency(
    concurrency, agents
):
    throttle = capacity.console_throttle(concurrency, agents)
    events = capacity.event_throttle(concurrency)

    assert throttle.rate == min(agents / 2, events.rate / 2)
    assert throttle.burst == events.burst
    # Each agent polls every 3 s.
    assert throttle.rate >= min(agents / 3, events.rate / 2)


@pytest.mark.parametrize(("agents", "rate"), [(1, 0.5), (150, 75), (1_000, 500), (10_000, 500)])
def test_throttle_of_the_overview_depends_on_the_configured_number_of_agents(agents, rate):
    settings = stage_settings(agents=agents)
    found = api_settings.find_throttle(SimpleNamespace(settings=settings), 1_000, "/overview")
    assert found == Throttle(rate=rate, burst=200)


def test_events_have_their_own_throttle_on_every_path():
    settings = stage_settings(prefixes=("", "/secret"))
    throttles = {
        setting.path: setting.throttle
        for setting in api_settings._method_settings(SimpleNamespace(settings=settings), 10)
    }
    for prefix in ("/", "/~1secret"):
        assert throttles[f"{prefix}~1event_callback"] == Throttle(rate=10, burst=2)
        assert throttles[f"{prefix}~1assignment_callback"] == Throttle(rate=100, burst=10)
        assert throttles[f"{prefix}~1assignment_callback~1fallback"] == Throttle(100, 10)


@pytest.mark.parametrize(
    ("path", "throttle"),
    [
        (api_settings.ACCEPT_PATH, Throttle(rate=0.16, burst=1)),
        ("/activity", Throttle(rate=0.16, burst=1)),
        ("/activities", Throttle(rate=0.16, burst=1)),
        ("/assignment_callback", Throttle(rate=100, burst=10)),
        ("/reservations", Throttle(rate=5, burst=2)),
        ("/overview", Throttle(rate=5, burst=2)),
        ("/console/{version}/{name}", Throttle(rate=5, burst=100)),
    ],
)
def test_throttle_depends_on_the_path(path, throttle):
    settings = stage_settings()
    found = api_settings.find_throttle(SimpleNamespace(settings=settings), 10, path)
    assert found == throttle


def test_message_for_too_many_requests_does_not_suggest_a_retry_within_a_second():
    settings = stage_settings()
    stage = SimpleNamespace(settings=settings)
    accept = api_settings.find_throttle(stage, 10, api_settings.ACCEPT_PATH)

    assert 1 / accept.rate == 6.25
    assert "second" not in api_settings.GATEWAY_RESPONSES["THROTTLED"].message


@given(concurrency=CONCURRENCY, share=SHARE)
def test_waiting_requests_use_at_most_their_share_of_the_concurrency_or_one_execution(
    concurrency, share
):
    throttle = capacity.waiting_throttle(concurrency, share)
    # The token bucket of an idle method is full.
    admitted = throttle.burst + int(throttle.rate * REQUEST_LIMIT_MS / 1000)

    assert 1 <= admitted <= max(1, 0.6 * concurrency * share)
    assert throttle.rate > 0


@given(concurrency=CONCURRENCY)
def test_log_searches_use_at_most_a_fiftieth_of_the_concurrency_or_one_execution(concurrency):
    throttle = capacity.log_throttle(concurrency)
    admitted = throttle.burst + int(throttle.rate * REQUEST_LIMIT_MS / 1000)

    assert 1 <= admitted <= max(1, concurrency / 50)
    assert throttle.rate > 0


def test_search_of_the_callback_log_takes_no_longer_than_its_throttle_assumes():
    longest = callback_log.SEARCH_SECONDS + callback_log.REQUEST_SECONDS
    assert longest <= capacity.WAITING_SECONDS


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_callback_log_has_its_own_throttle(method):
    found = api_settings._method_settings(SimpleNamespace(settings=stage_settings()), 1_000)
    throttles = {(setting.path, setting.method): setting.throttle for setting in found}
    assert throttles["/~1callbacks", method] == Throttle(rate=1.66, burst=11)


@pytest.mark.parametrize("path", [api_settings._LOG_PATH, *api_settings._SUPERVISOR_PATHS])
def test_deployment_guide_names_each_method_that_only_supervisors_use(path):
    page = Path(__file__).parents[2] / "docs/deploy.md"
    assert f"`GET {path}`" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("tutorial_routes", [False, True])
@pytest.mark.parametrize("concurrency", [10, 11, 99, 1_000])
def test_waiting_methods_use_at_most_three_fifths_of_the_concurrency_in_total(
    concurrency, tutorial_routes
):
    """With a low concurrency, the methods may use more: one execution each."""
    settings = stage_settings(tutorial_routes=tutorial_routes)
    waiting = [
        setting.throttle
        for setting in api_settings._method_settings(
            SimpleNamespace(settings=settings), concurrency
        )[1:]
        if setting.throttle != capacity.callback_throttle(concurrency)
        and setting.path not in ("/~1event_callback", "/~1overview", "/~1callbacks")
        and not setting.path.startswith(("/~1console", "/~1statistics"))
        and not setting.path.endswith("~1signature")
    ]
    admitted = sum(
        throttle.burst + int(throttle.rate * REQUEST_LIMIT_MS / 1000) for throttle in waiting
    )

    assert len(waiting) == (9 if tutorial_routes else 7)
    assert admitted <= max(0.6 * concurrency, len(waiting))


@given(concurrency=CONCURRENCY, more=CONCURRENCY, share=SHARE)
def test_more_concurrency_never_lowers_a_limit(concurrency, more, share):
    throttles = (
        capacity.callback_throttle,
        capacity.event_throttle,
        capacity.default_throttle,
        partial(capacity.console_throttle, agents=10),
        partial(capacity.page_throttle, agents=10),
        capacity.supervisor_throttle,
        partial(capacity.waiting_throttle, share=share),
        capacity.log_throttle,
    )
    for throttle in throttles:
        low, high = throttle(concurrency), throttle(concurrency + more)
        assert high.rate >= low.rate
        assert high.burst >= low.burst
    assert capacity.alarm_threshold(concurrency + more) >= capacity.alarm_threshold(concurrency)


def test_callback_and_default_rates_are_not_reduced_if_concurrency_is_sufficient():
    enough = capacity.SUFFICIENT_CONCURRENCY
    assert capacity.callback_throttle(enough).rate == capacity.MAX_CALLBACK_THROTTLE.rate
    assert capacity.default_throttle(enough).rate == capacity.MAX_DEFAULT_THROTTLE.rate
    assert capacity.callback_throttle(enough - 1).rate < capacity.MAX_CALLBACK_THROTTLE.rate


def throttles_with_a_provider(concurrency):
    settings = stage_settings(oidc_issuer="https://login.example.com")
    found = api_settings._method_settings(SimpleNamespace(settings=settings), concurrency)
    return {(setting.path, setting.method): setting.throttle for setting in found}


@pytest.mark.parametrize("concurrency", [10, 1_000])
def test_sign_in_uses_part_of_the_concurrency_for_waiting_requests(concurrency):
    found = throttles_with_a_provider(concurrency)
    assert found["/~1console~1callback", "GET"] == capacity.waiting_throttle(concurrency, 3 / 10)
    assert found["/~1create-task", "POST"] == capacity.waiting_throttle(concurrency, 1 / 10)


@pytest.mark.parametrize("concurrency", [10, 50, 100, 1_000])
def test_start_and_end_of_a_sign_in_have_the_same_throttle(concurrency):
    found = throttles_with_a_provider(concurrency)
    assert found["/~1console~1sign-in", "GET"] == found["/~1console~1callback", "GET"]


@pytest.mark.parametrize(
    ("concurrency", "agents", "seconds"),
    [(10, 10, 57), (50, 50, 55), (100, 100, 61), (1_000, 150, 4), (1_000, 1_000, 61)],
)
def test_all_agents_of_a_shift_can_sign_in_and_renew_an_hour_later(concurrency, agents, seconds):
    """The throttle for polls admits at most as many agents as there are concurrent executions."""
    assert capacity.console_throttle(concurrency, agents).rate == agents / 2
    throttle = throttles_with_a_provider(concurrency)["/~1console~1callback", "GET"]
    assert agents <= throttle.burst + throttle.rate * seconds
    # The app shortens each token's lifetime by a random amount of up to a tenth, so renewals are
    # spread over six minutes.
    assert 4 * agents / 360 < throttle.rate


@pytest.mark.parametrize("concurrency", [10, 100, 1_000])
def test_sign_ins_that_wait_for_the_provider_leave_capacity_for_callbacks(concurrency):
    throttle = throttles_with_a_provider(concurrency)["/~1console~1sign-in", "GET"]
    admitted = throttle.burst + int(throttle.rate * oidc.SECONDS)
    assert admitted <= max(1, 0.14 * concurrency)


PAGE_PATHS = ("/console", "/console/session", "/console/callback", "/console/sign-in")
SIGNATURE_PATH = "/reservations/{sid}/signature"


@pytest.mark.parametrize("path", PAGE_PATHS)
@pytest.mark.parametrize(
    ("concurrency", "throttle"),
    [(10, Throttle(1, 100)), (100, Throttle(10, 100)), (1_000, Throttle(50, 100))],
)
def test_console_page_has_a_low_rate_and_a_burst_large_enough_for_the_start_of_a_shift(
    path, concurrency, throttle
):
    stage = SimpleNamespace(settings=stage_settings(agents=50))
    assert api_settings.find_throttle(stage, concurrency, path) == throttle


@pytest.mark.parametrize("oidc_issuer", ["", "https://login.example.com"])
def test_exchange_of_a_cookie_for_a_token_has_the_throttle_of_the_console_page(oidc_issuer):
    settings = stage_settings(oidc_issuer=oidc_issuer, agents=50)
    found = api_settings._method_settings(SimpleNamespace(settings=settings), 100)
    throttles = [
        setting.throttle
        for setting in found
        if (setting.path, setting.method) == ("/~1console~1session", "POST")
    ]
    assert throttles == [Throttle(10, 100)]


@pytest.mark.parametrize("path", ["/statistics", SIGNATURE_PATH])
@pytest.mark.parametrize(
    ("concurrency", "throttle"),
    [(2, Throttle(0.04, 1)), (10, Throttle(0.2, 2)), (1_000, Throttle(20, 100))],
)
def test_requests_of_supervisors_have_the_default_burst_and_a_lower_rate(
    path, concurrency, throttle
):
    stage = SimpleNamespace(settings=stage_settings())
    assert api_settings.find_throttle(stage, concurrency, path) == throttle


@pytest.mark.parametrize("path", [*PAGE_PATHS, "/console/{version}/{name}"])
@pytest.mark.parametrize(("agents", "burst"), [(1, 6), (10, 60), (16, 96), (17, 100)])
def test_burst_of_pages_and_files_grows_with_the_number_of_agents(path, agents, burst):
    stage = SimpleNamespace(settings=stage_settings(agents=agents))
    assert api_settings.find_throttle(stage, 10, path).burst == burst


@pytest.mark.parametrize("oidc_issuer", ["", "https://login.example.com"])
@pytest.mark.parametrize("concurrency", [2, 10, 50, 100, 1_000])
def test_total_rate_of_methods_that_twilio_does_not_call_is_below_the_limit_of_lambda(
    concurrency, oidc_issuer
):
    settings = stage_settings(oidc_issuer=oidc_issuer, agents=10_000)
    found = {
        (setting.path, setting.method): setting.throttle
        for setting in api_settings._method_settings(
            SimpleNamespace(settings=settings), concurrency
        )
    }
    twilio = twilio_routes(app)
    rates = [
        found.get((api_settings._encode(path), method), found["/*", "*"]).rate
        for path, methods in app.routes.items()
        for method in methods
        if (path, method) not in twilio
    ]
    assert sum(rates) < 10 * concurrency


def test_preflight_of_a_signature_check_has_the_throttle_of_the_check():
    found = {
        (setting.path, setting.method): setting.throttle
        for setting in api_settings._method_settings(SimpleNamespace(settings=stage_settings()), 10)
    }
    path = api_settings._encode(SIGNATURE_PATH)
    assert found[path, "OPTIONS"] == found[path, "GET"] == Throttle(0.2, 2)


def test_each_method_has_one_throttle():
    settings = stage_settings(oidc_issuer="https://login.example.com")
    found = api_settings._method_settings(SimpleNamespace(settings=settings), 10)
    methods = [(setting.path, setting.method) for setting in found]
    assert len(methods) == len(set(methods))
