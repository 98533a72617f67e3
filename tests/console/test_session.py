"""Browser tests of sign-in, expiry and sign-out, with a fake API."""

import re
import threading
import time

import pytest
from playwright.sync_api import expect

from chalicelib.domain.sign_in import _PROVIDER_CODES, REFUSALS, Failure
from tests.console.conftest import STAGE, Provider, token
from tests.console.pages import CONTINUE, overview_requests, rows, wait_until
from tests.console.vendor import CONSOLE

pytestmark = pytest.mark.slow


# Sign-in


def test_token_is_removed_from_the_address_bar_and_not_shared_with_a_new_tab(open_console, api):
    secret = token()
    page = open_console(secret)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    assert page.url == f"{api.url}/console"
    assert page.evaluate("sessionStorage.getItem('console.token')") == secret
    assert page.evaluate("Object.keys(localStorage)") == []
    page.go_back()
    assert secret not in page.url
    other = open_console(None, context=page.context)
    expect(other.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


BLOCK_STORAGE = """
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, {
      get() { throw new DOMException("Access is denied", "SecurityError"); },
    });
  }
"""
BLOCK_LOCKS = """
  for (const name of ["request", "query"]) {
    LockManager.prototype[name] = async () => { throw new DOMException("No", "SecurityError"); };
  }
"""
BLOCK_CHANNELS = "window.BroadcastChannel = function () { throw new DOMException('No'); }"
MISSING_CHANNELS = "delete window.BroadcastChannel"
BLOCK_WORKERS = "window.Worker = function () { throw new DOMException('No', 'SecurityError'); }"


@pytest.mark.parametrize(
    "script",
    [
        BLOCK_STORAGE,
        BLOCK_LOCKS,
        BLOCK_CHANNELS,
        MISSING_CHANNELS,
        BLOCK_WORKERS,
        f"{BLOCK_STORAGE}{BLOCK_LOCKS}{BLOCK_CHANNELS};{BLOCK_WORKERS}",
    ],
)
def test_page_works_if_the_browser_blocks_storage_or_locks_or_channels_or_workers(
    open_console, api, script
):
    api.answers["/accept"] = api.decide("accepted")
    context = open_console(None).context
    context.add_init_script(script)
    pages = [open_console(context=context) for _ in range(2)]
    for page in pages:
        expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
        assert page.url == f"{api.url}/console"
    api.offer("Marta")
    for page in pages:
        expect(rows(page)).to_have_count(1)
    page.locator(".me > summary").click()
    page.get_by_label("Sound for new offers").check()
    api.offer("Berta", 300)
    expect(rows(page)).to_have_count(2)
    expect(page.locator(".live")).to_contain_text("Live")
    rows(page).first.get_by_role("button", name="Accept", exact=False).first.click()
    expect(rows(page).first).to_have_attribute("data-end", "accepted")
    page.locator(".me > summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_text("You signed out")).to_be_visible()


@pytest.mark.parametrize("has_provider", [False, True])
def test_page_says_that_the_browser_blocks_storage(open_console, api, has_provider):
    api.has_provider = has_provider
    context = open_console(None).context
    context.add_init_script(BLOCK_STORAGE)
    page = open_console(None, context=context)
    expect(page.get_by_text("Your browser blocks storage.")).to_be_visible()
    expect(page.get_by_text("The service is not responding")).to_have_count(0)
    expect(page.get_by_role("link")).to_have_count(0)


@pytest.mark.parametrize("path", ["/console", "/console/"])
def test_page_without_token_explains_how_to_sign_in(open_console, path):
    page = open_console(None, path=path)
    expect(page.get_by_text("Open the link that make run prints")).to_be_visible()
    expect(page.get_by_role("link")).to_have_count(0)
    expect(page).to_have_title("Sign in, Agent console")


def test_page_offers_the_company_account_if_there_is_a_provider(open_console, api):
    api.has_provider = True
    page = open_console(None)
    link = page.get_by_role("link", name="Continue with company account")
    expect(link).to_have_attribute("href", f"{api.url}/console/")
    expect(page.get_by_text("make run")).to_have_count(0)


@pytest.mark.parametrize("link", ["nonsense", "a.b.c", "e30.e30.e30", token(seconds=3600) + "x"])
def test_link_with_a_forged_or_malformed_token_is_shown_as_invalid(open_console, api, link):
    api.refused.add(link)
    page = open_console(link)
    expect(page.get_by_role("alert")).to_contain_text("This sign-in link is not valid")
    assert page.evaluate("sessionStorage.getItem('console.token')") is None
    assert page.url == f"{api.url}/console"


def test_link_opened_in_an_open_page_signs_the_user_in(open_console, api):
    page = open_console("nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    assert page.url == f"{api.url}/console"


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("#sign-in-error=no_worker", "no Worker matches it. Ask your supervisor to add you."),
        ("#sign-in-error=several_workers", "several Workers match it."),
        ("#sign-in-error=no_identity", "no verified address"),
        ("#sign-in-error=no_role", "no role in this console"),
        ("#sign-in-error=expired", "took longer than ten minutes"),
        ("#sign-in-error=expired", "or a newer one has begun in another tab"),
        ("#sign-in-error=access_denied", "The sign-in did not succeed (access_denied)."),
    ],
)
def test_failed_sign_in_is_explained(open_console, api, fragment, words):
    page = open_console(None)
    page.goto(f"{api.url}/console/{fragment}")
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert page.url == f"{api.url}/console/"


CHOOSE = "When you continue, you can choose another account."


@pytest.mark.parametrize("code", [*sorted(REFUSALS), "access_denied"])
def test_sign_in_after_a_wrong_account_lets_the_user_choose_another_account(
    open_console, api, code
):
    api.has_provider = True
    page = open_console(None)
    provider = Provider(api, page)
    page.goto(f"{api.url}/console/#sign-in-error={code}")
    expect(page.get_by_role("alert")).to_contain_text(CHOOSE)
    page.get_by_role("link", name=CONTINUE).click()
    expect(page.locator(".live")).to_contain_text("Live")
    assert provider.requests == ["?choose_account=1"]


@pytest.mark.parametrize("code", ["expired", "provider_refused", "unknown"])
def test_sign_in_after_a_failure_unrelated_to_the_account_offers_no_choice_of_accounts(
    open_console, api, code
):
    api.has_provider = True
    page = open_console(None)
    provider = Provider(api, page)
    page.goto(f"{api.url}/console/#sign-in-error={code}")
    expect(page.get_by_role("alert")).not_to_contain_text(CHOOSE)
    page.get_by_role("link", name=CONTINUE).click()
    expect(page.locator(".live")).to_contain_text("Live")
    assert provider.requests == [""]


def test_user_whose_provider_offers_no_choice_of_accounts_can_still_sign_in(open_console, api):
    api.has_provider = True
    page = open_console(None)
    provider = Provider(api, page)
    page.goto(f"{api.url}/console/#sign-in-error=no_worker")
    expect(page.get_by_role("alert")).to_contain_text(CHOOSE)
    # With this status, the browser stays on the page.
    page.route("**/provider?choose_account=1", lambda route: route.fulfill(status=204))
    with page.expect_response("**/provider?choose_account=1"):
        page.get_by_role("link", name=CONTINUE).click()
    # The next sign-in offers no choice of accounts, so the page no longer promises a choice.
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("link", name=CONTINUE).click()
    expect(page.locator(".live")).to_contain_text("Live")
    assert provider.requests == [""]


@pytest.mark.parametrize(
    ("claims", "other"),
    [
        ({"role": "supervisor", "identity": "mallory"}, "mallory"),
        ({"role": "supervisor"}, "Supervisor"),
        ({"name": "another token"}, "Worker WKaaaa…aaaa"),
    ],
)
def test_link_replaces_a_session_only_if_the_user_agrees(open_console, api, claims, other):
    user_token, link = token(), token(**claims)
    page = open_console(user_token)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    stored = "sessionStorage.getItem('console.token')"
    dialog = page.get_by_role("dialog", name="Replace your session?")
    page.goto(f"{api.url}/console#token={link}")
    expect(dialog).to_contain_text(f"would sign this tab in as {other}.")
    expect(dialog).to_contain_text("You are signed in as Worker WKaaaa…aaaa.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert page.evaluate(stored) == user_token
    page.goto(f"{api.url}/console#token={link}")
    dialog.get_by_role("button", name="Replace my session", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".live")).to_contain_text("Live")
    assert page.evaluate(stored) == link


@pytest.mark.parametrize("order", ["link first", "close first"])
def test_link_followed_while_the_dialog_closes_opens_the_dialog_again(open_console, order):
    """The browser fires the `close` event some time after the dialog has disappeared."""
    user_token, link = token(), token("supervisor", identity="mallory")
    page = open_console(user_token)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    dialog = page.get_by_role("dialog", name="Replace your session?")
    follow = f"location.hash = 'token={link}'"
    page.evaluate(follow)
    expect(dialog).to_be_visible()
    steps = [follow, "document.querySelector('dialog').close()"]
    is_closed = "document.querySelector('dialog').addEventListener('close', () => resolve())"
    steps = steps if order == "link first" else steps[::-1]
    page.evaluate(f"new Promise(resolve => {{ {is_closed}; {'; '.join(steps)} }})")
    dialog.get_by_role("button", name="Replace my session").click()
    assert page.evaluate("sessionStorage.getItem('console.token')") == link


def test_dialog_about_a_link_is_not_shown_in_the_next_session(open_console, api):
    user_token = token()
    page = open_console(user_token)
    expect(page.locator(".live")).to_contain_text("Live")
    page.goto(f"{api.url}/console#token={token('supervisor')}")
    expect(page.get_by_role("dialog")).to_be_visible()
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    page.goto(f"{api.url}/console#token={token(name='new')}")
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("fragment", ["token=x", "sign-in-error=x", "sign-in-error=constructor"])
def test_invalid_token_or_error_in_the_url_fragment_does_not_end_the_session(
    open_console, api, fragment
):
    user_token = token()
    page = open_console(user_token)
    expect(page.locator(".live")).to_contain_text("Live")
    page.goto(f"{api.url}/console#{fragment}")
    page.wait_for_url(f"{api.url}/console")
    page.reload()
    expect(page.locator(".live")).to_contain_text("Live")
    assert page.evaluate("sessionStorage.getItem('console.token')") == user_token


@pytest.mark.parametrize(
    "claims", [{"role": "constructor"}, {"role": "admin"}, {"role": None}], ids=str
)
def test_link_with_an_unknown_role_is_shown_as_invalid(open_console, claims):
    page = open_console(token(**claims))
    expect(page.get_by_role("alert")).to_contain_text("This sign-in link is not valid")


def test_link_does_not_sign_in_a_user_if_there_is_a_provider(open_console, api):
    api.has_provider = True
    page = open_console(None)
    page.goto(f"{api.url}/console#token={token('supervisor', identity='mallory')}")
    expect(page.get_by_role("alert")).to_contain_text("begins on this page, in this tab")
    assert page.evaluate("Object.keys(sessionStorage)") == []
    user_token = token()
    signed_in = open_console(user_token)
    expect(signed_in.locator(".live")).to_contain_text("Live")
    signed_in.goto(f"{api.url}/console#token={token('supervisor', identity='mallory')}")
    signed_in.wait_for_url(f"{api.url}/console")
    expect(signed_in.get_by_role("dialog")).to_have_count(0)
    assert signed_in.evaluate("sessionStorage.getItem('console.token')") == user_token


def test_sign_in_is_accepted_once_and_only_in_the_tab_that_began_it(open_console, api):
    api.has_provider = True
    page = open_console(None)

    def redirect(route):
        route.fulfill(**api.complete_sign_in(user_token))

    user_token = token()
    page.context.route(f"{api.url}/provider", redirect)
    page.get_by_role("link", name="Continue with company account").click()
    expect(page.locator(".live")).to_contain_text("Live")
    assert "console.sign-in" not in page.evaluate("Object.keys(sessionStorage)")
    # A sign-in that begins in an identity provider's portal is not accepted.
    other = open_console(None, path="/provider", context=page.context)
    expect(other.get_by_role("alert")).to_contain_text("begins on this page, in this tab")
    expect(other.get_by_role("link", name="Continue with company account")).to_be_visible()


@pytest.mark.parametrize(
    "click",
    [{"modifiers": ["Control"]}, {"modifiers": ["Shift"]}, {"button": "middle"}],
    ids=["Ctrl", "Shift", "middle"],
)
def test_sign_in_link_opened_in_a_new_tab_or_window_leads_to_the_sign_in_page(
    open_console, api, click
):
    api.has_provider = True
    page = open_console(None)
    user_token = token()
    page.context.route(
        f"{api.url}/provider", lambda route: route.fulfill(**api.complete_sign_in(user_token))
    )
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Continue with company account").click(**click)
    assert page.evaluate("Object.keys(sessionStorage)") == []
    expect(opened.value.get_by_role("alert")).to_have_count(0)
    opened.value.get_by_role("link", name="Continue with company account").click()
    expect(opened.value.locator(".live")).to_contain_text("Live")


BEGIN = """age => {
  sessionStorage.setItem('console.sign-in', JSON.stringify({at: Date.now() - age}));
}"""
"""Record that the tab began a sign-in `age` milliseconds ago."""


def test_sign_in_that_began_more_than_ten_minutes_ago_is_refused(open_console, api):
    api.has_provider = True
    page = open_console(None)
    for age, words in ((590_000, "Live"), (601_000, "begins on this page, in this tab")):
        page.evaluate("sessionStorage.clear()")
        page.goto("about:blank")
        page.goto(f"{api.url}/console")
        page.evaluate(BEGIN, age)
        page.goto("about:blank")
        page.goto(api.complete_sign_in(token())["headers"]["Location"])
        expect(page.get_by_text(words).first).to_be_visible()
    assert api.cookie is not None


def test_link_with_a_token_does_not_complete_a_sign_in_with_a_provider(open_console, api):
    api.has_provider = True
    page = open_console(None)
    page.evaluate(BEGIN, 0)
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.get_by_role("alert")).to_contain_text("begins on this page, in this tab")


def return_from_provider(page, api, user_token=None):
    """Return to the page at the end of a sign-in that began in this tab."""
    page.evaluate(BEGIN, 0)
    page.goto("about:blank")
    page.goto(api.complete_sign_in(user_token or token())["headers"]["Location"])


def test_no_url_contains_the_token_of_a_sign_in(open_console, api):
    api.has_provider = True
    page = open_console(None)
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("framenavigated", lambda frame: urls.append(frame.url))
    return_from_provider(page, api)
    expect(page.locator(".live")).to_contain_text("Live")
    secret = page.evaluate("sessionStorage.getItem('console.token')")
    assert page.url == f"{api.url}/console/"
    assert [url for url in urls if secret in url or "token" in url] == []
    assert any("#sign-in=complete" in url for url in urls)


def test_page_requests_the_token_until_a_request_succeeds(open_console, api):
    api.has_provider = True
    original, failures = api.respond, [429, 503]

    def respond(method, path, headers, parameters):
        if (method, path) == ("POST", "/console/session") and failures:
            return failures.pop(0), {"Code": "Failure", "Message": "It failed."}, {}
        return original(method, path, headers, parameters)

    api.respond = respond
    page = open_console(None)
    return_from_provider(page, api)
    expect(page.locator(".live")).to_contain_text("Live", timeout=12_000)
    assert failures == []
    assert page.url == f"{api.url}/console/"


def test_reload_while_the_page_waits_for_the_token_repeats_the_request(open_console, api):
    api.has_provider = True
    original, answers = api.respond, threading.Event()

    def respond(method, path, headers, parameters):
        if (method, path) == ("POST", "/console/session") and not answers.is_set():
            return 503, {"Code": "Failure", "Message": "It failed."}, {}
        return original(method, path, headers, parameters)

    api.respond = respond
    page = open_console(None)
    return_from_provider(page, api)
    expect(page.get_by_text("The service is not responding.")).to_be_visible()
    page.reload()
    answers.set()
    expect(page.locator(".live")).to_contain_text("Live")


@pytest.mark.parametrize("expired_at", [None, 1])
def test_sign_in_whose_token_is_gone_fails(open_console, api, expired_at):
    api.has_provider = True
    page = open_console(None)
    begin = """at => sessionStorage.setItem(
      'console.sign-in', JSON.stringify({at: Date.now(), expiredAt: at}))"""
    page.evaluate(begin, expired_at)
    page.goto("about:blank")
    page.goto(f"{api.url}/console/#sign-in=complete")
    words = "Your session expired at" if expired_at else "The sign-in did not succeed. Try again."
    expect(page.locator(".banner")).to_contain_text(words)
    expect(page.get_by_role("link", name="Continue with company account")).to_be_visible()
    assert page.url == f"{api.url}/console/"
    assert page.evaluate("sessionStorage.getItem('console.sign-in')") is None


def test_sign_out_in_another_tab_cancels_a_sign_in_that_waits_for_its_token(open_console, api):
    api.has_provider = True
    original, requested, answers = api.respond, threading.Event(), threading.Event()

    def respond(method, path, headers, parameters):
        if (method, path) == ("POST", "/console/session"):
            requested.set()
            answers.wait(30)
        return original(method, path, headers, parameters)

    api.respond = respond
    other = open_console()
    expect(other.locator(".live")).to_contain_text("Live")
    page = open_console(None, context=other.context)
    return_from_provider(page, api)
    wait_until(page, requested.is_set)
    sign_out(other)
    expect(page.get_by_text("You signed out")).to_be_visible()
    with page.expect_response("**/console/session"):
        answers.set()
    expect(page.get_by_role("link", name="Continue with company account")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('console.token')") is None
    assert page.url == f"{api.url}/console/"


@pytest.mark.parametrize("has_provider", [True, False])
def test_tab_that_began_no_sign_in_cannot_complete_a_sign_in(open_console, api, has_provider):
    api.has_provider, api.cookie = has_provider, token()
    page = open_console(None, path="/console/#sign-in=complete")
    words = "begins on this page, in this tab" if has_provider else "sign-in link is not valid"
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert page.url == f"{api.url}/console/"
    assert api.cookie is not None


def test_section_stays_the_same_after_a_sign_in(open_console, api):
    api.has_provider = True
    page = open_console()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_attached()
    return_from_provider(page, api)
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_attached()


@pytest.mark.parametrize("code", ["Call +1 900 555 0100 to unlock", "constructor", "toString", ""])
def test_unknown_reason_for_a_failed_sign_in_is_not_shown(open_console, api, code):
    page = open_console(None)
    page.goto(f"{api.url}/console/#sign-in-error={code}")
    words = "You are not signed in The sign-in did not succeed. Try again."
    expect(page.get_by_role("alert")).to_have_text(words)


def test_page_knows_every_reason_for_a_failed_sign_in_that_the_api_sends():
    source = (CONSOLE / "view_door.js").read_text(encoding="utf-8")
    known = re.findall(r'^  \["(\w+)", "failed\w+"\],$', source, re.MULTILINE)
    known += re.search(r'OTHER_FAILURES = "([\w ]+)"', source)[1].split()
    assert sorted(known) == sorted({*Failure, *_PROVIDER_CODES})


def test_page_asks_whether_there_is_a_provider_until_a_request_succeeds(open_console, api):
    api.has_provider = True
    original, request_times = api.respond, []

    def respond(method, path, headers, parameters):
        if path == "/console/session":
            request_times.append(time.monotonic())
            if len(request_times) == 1:
                return 429, {"Code": "TooManyRequests", "Message": ""}, {"Retry-After": "3"}
            if len(request_times) == 2:
                return 502, {"message": "Internal server error"}, {}
        return original(method, path, headers, parameters)

    api.respond = respond
    page = open_console(None)
    link = page.get_by_role("link", name="Continue with company account")
    wait_until(page, lambda: request_times)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("make run")).to_have_count(0)
    expect(link).to_be_visible(timeout=12_000)
    assert len(request_times) == 3
    assert request_times[1] - request_times[0] >= 2.9
    assert request_times[2] - request_times[1] >= 1.9


def test_only_a_page_on_the_users_own_machine_mentions_the_make_run_command(browser, api):
    context = browser.new_context(locale="en-US")
    host = "https://console.example"

    def serve(route):
        path = route.request.url.removeprefix(host)
        route.fulfill(response=route.fetch(url=api.url.removesuffix(STAGE) + path))

    context.route(f"{host}/**", serve)
    page = context.new_page()
    page.goto(f"{host}{STAGE}/console")
    expect(page.get_by_text("Open the sign-in link that you were given.")).to_be_visible()
    page.goto(f"{host}{STAGE}/console#token=x")
    expect(page.get_by_role("alert")).to_contain_text("Sign in again, or ask your supervisor.")
    expect(page.get_by_text("make run")).to_have_count(0)
    context.unroute_all(behavior="wait")
    context.close()


# Expiry


def test_expired_session_keeps_the_typed_text_and_continues_after_a_sign_in(open_console, api):
    first = token(name="first")
    api.offer("Marta")
    page = open_console(first)
    page.get_by_role("button", name="Accept by phone").click()
    page.get_by_label("Caller ID that the phone shows").fill("+1555")
    api.refused.add(first)
    expect(
        page.locator(".banner", has_text=re.compile(r"Your session expired at \d\d:\d\d:\d\d"))
    ).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in again, Alice")).to_be_visible()
    expect(page.get_by_text("You will return to the offer Marta: charged twice.")).to_be_visible()
    page.goto(f"{api.url}/console#token={token(name='second')}")
    expect(page.get_by_label("Caller ID that the phone shows")).to_have_value("+1555")
    expect(rows(page)).to_have_count(1)


def test_expired_session_is_renewed_silently_until_the_provider_requires_a_sign_in(
    open_console, api
):
    api.has_provider = True
    first, second = token(name="first"), token(name="second")
    page = open_console(first)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    failure = {"Location": f"{api.url}/console/#sign-in-error=login_required"}
    answers = [api.complete_sign_in(second), {"status": 303, "headers": failure}]

    def redirect(route):
        route.fulfill(**answers.pop(0))

    page.route(f"{api.url}/provider?silent=1", redirect)
    api.refused.add(first)
    expect(page.locator(".live")).to_contain_text("Live")
    wait_until(page, lambda: len(answers) == 1)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    age_last_renewal(page)
    api.refused.add(second)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    wait_until(page, lambda: not answers)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    expect(page.get_by_role("link", name="Continue with company account")).to_be_visible()


def age_last_renewal(page, seconds=60):
    """Make the last silent renewal appear to have happened *seconds* earlier."""
    page.evaluate(
        """age => {
          const at = Number(localStorage.getItem('console.renewal'));
          localStorage.setItem('console.renewal', at - age);
        }""",
        seconds * 1000,
    )


@pytest.mark.parametrize(("age", "renewals"), [(50, 1), (60, 2)])
def test_session_is_renewed_silently_at_most_once_a_minute(open_console, api, age, renewals):
    api.has_provider = True
    tokens = [token(name=str(n)) for n in range(3)]
    page = open_console(tokens[0])
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    answers = iter(tokens[1:])
    sent = []

    def redirect(route):
        sent.append(route.request.url)
        route.fulfill(**api.complete_sign_in(next(answers)))

    page.route(f"{api.url}/provider?silent=1", redirect)
    api.refused.add(tokens[0])
    page.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=tokens[1])
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    age_last_renewal(page, age)
    api.refused.add(tokens[1])
    if renewals == 1:
        expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
        expect(page.get_by_role("link", name="Continue with company account")).to_be_visible()
    else:
        expect(page.locator(".live")).to_contain_text("Live")
        page.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=tokens[2])
    assert len(sent) == renewals


def test_one_of_several_tabs_renews_the_session_and_all_tabs_continue(open_console, api):
    api.has_provider = True
    first, second = token(name="first"), token(name="second")
    pages = [open_console(first)]
    pages.append(open_console(first, context=pages[0].context))
    for page in pages:
        expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    renewals = []

    def redirect(route):
        renewals.append(route.request.url)
        time.sleep(1)
        route.fulfill(**api.complete_sign_in(second))

    pages[0].context.route(f"{api.url}/provider?silent=1", redirect)
    api.refused.add(first)
    for page in pages:
        page.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=second)
        expect(page.locator(".live")).to_contain_text("Live")
    assert len(renewals) == 1


def test_tab_whose_session_is_refused_later_continues_with_the_token_renewed_by_another_tab(
    open_console, api
):
    api.has_provider = True
    first, second, renewed = (token(name=name) for name in ("first", "second", "renewed"))
    page = open_console(first)
    other = open_console(second, context=page.context)
    for each in (page, other):
        expect(each.locator(".live")).to_contain_text("Live")
    renewals = []

    def redirect(route):
        renewals.append(route.request.url)
        route.fulfill(**api.complete_sign_in(renewed))

    page.context.route(f"{api.url}/provider?silent=1", redirect)
    # Only the first tab's token is refused. The other tab has a different token.
    api.refused.add(first)
    page.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=renewed)
    expect(page.locator(".live")).to_contain_text("Live")
    assert other.evaluate("sessionStorage.getItem('console.token')") == second
    api.refused.add(second)
    other.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=renewed)
    expect(other.locator(".live")).to_contain_text("Live")
    assert len(renewals) == 1


def test_sign_in_continues_the_expired_session_of_another_tab(open_console, api):
    first, second = token(name="first"), token(name="second")
    api.offer("Marta")
    page = open_console(first)
    page.get_by_role("button", name="Accept by phone").click()
    page.get_by_label("Caller ID that the phone shows").fill("+1555")
    api.refused.add(first)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    other_user = open_console(token("supervisor"), context=page.context)
    expect(rows(other_user)).to_have_count(1)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    open_console(second, context=page.context)
    expect(page.get_by_label("Caller ID that the phone shows")).to_have_value("+1555")
    expect(page.locator(".live")).to_contain_text("Live")


@pytest.mark.parametrize("is_poll_first", [True, False])
@pytest.mark.parametrize("button", ["Accept: Marta", "Call"])
def test_decision_refused_because_the_session_expired_can_be_repeated(
    open_console, api, button, is_poll_first
):
    first, second = token(name="first"), token(name="second")
    api.offer("Marta")
    original, released = api.respond, threading.Event()

    def respond(method, path, headers, parameters):
        if method == "POST" and first in headers["Authorization"]:
            if is_poll_first:
                api.refused.add(first)
                released.wait()
            return 401, {"Code": "UnauthorizedError", "Message": "The token has expired."}, {}
        return original(method, path, headers, parameters)

    api.respond = respond
    page = open_console(first)
    if button == "Call":
        page.get_by_role("button", name="Accept by phone").click()
        page.get_by_label("Caller ID that the phone shows").fill("+1555")
    page.get_by_role("button", name=button).click()
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    released.set()
    page.goto(f"{api.url}/console#token={second}")
    rows(page).wait_for()
    assert rows(page).get_attribute("data-end") is None
    expect(page.get_by_text("Nothing was decided. The offer is still open.").last).to_be_visible()
    if button == "Call":
        expect(page.get_by_label("Caller ID that the phone shows")).to_have_value("+1555")
    api.answers["/accept"] = api.decide("accepted")
    page.get_by_role("button", name=button).click()
    expect(rows(page)).to_have_attribute("data-end", "accepted")


@pytest.mark.parametrize("is_provider_known_first", [True, False])
@pytest.mark.parametrize("has_provider", [True, False])
def test_stored_token_refused_by_the_api_is_treated_as_an_expired_session(
    open_console, api, has_provider, is_provider_known_first
):
    user_token, renewed = token(), token(name="renewed")
    page = open_console(user_token)
    expect(page.locator(".live")).to_contain_text("Live")
    page.context.route(
        f"{api.url}/provider?silent=1", lambda route: route.fulfill(**api.complete_sign_in(renewed))
    )
    # Leave the page, so that it does not receive a 401 before it is loaded again.
    page.goto("about:blank")
    api.refused.add(user_token)
    api.has_provider = has_provider
    late = "**/overview" if is_provider_known_first else "**/console/session"
    page.route(late, lambda route: (time.sleep(0.5), route.continue_()))
    page.go_back()
    if has_provider:
        page.wait_for_function("t => sessionStorage.getItem('console.token') === t", arg=renewed)
        expect(page.locator(".live")).to_contain_text("Live")
    else:
        expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_session_ends_at_the_tokens_expiry_by_the_servers_clock(open_console, api):
    page = open_console(token(seconds=3_600))
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    api.clock_offset = 3_601
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()


def test_session_does_not_expire_before_the_servers_clock_is_known(open_console, api):
    api.clock_offset = -7_200
    api.delay = 2.5
    page = open_console(token(seconds=-3_600))
    page.wait_for_timeout(1_500)
    expect(page.locator(".banner", has_text="Your session expired at")).to_have_count(0)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()


@pytest.mark.parametrize("hours", [2, -2])
def test_change_of_the_computers_clock_neither_ends_the_session_nor_changes_the_countdown(
    open_console, api, hours
):
    responses = threading.Semaphore(100)
    overview = api._overview

    def respond_when_allowed(headers):
        responses.acquire()
        return overview(headers)

    api._overview = respond_when_allowed
    api.offer(left=300, timeout=300)
    page = open_console(token(seconds=3_600), clock=True)
    expect(page.locator(".digits")).to_have_text(re.compile("4:[345]"))
    while responses.acquire(blocking=False):
        pass
    page.clock.set_system_time(page.evaluate("Date.now()") / 1000 + hours * 3_600)
    page.clock.run_for(2_000)
    responses.release()
    page.clock.run_for(2_000)
    expect(page.locator(".banner", has_text="Your session expired at")).to_have_count(0)
    responses.release(100)
    expect(page.locator(".digits")).to_have_text(re.compile("4:[0-5]"))
    expect(page.locator(".banner", has_text="Your session expired at")).to_have_count(0)


def test_new_user_sees_no_data_of_the_previous_user(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.reservations.clear()
    api.delay = 1
    page.goto(f"{api.url}/console#token={token('supervisor')}")
    page.get_by_role("button", name="Replace my session", exact=True).click()
    expect(rows(page)).to_have_count(0)
    assert "Marta" not in page.content()


# Sign-out


def stored_keys(page):
    return page.evaluate("[...Object.keys(sessionStorage), ...Object.keys(localStorage)]")


def sign_out(page):
    page.locator(".me > summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_text("You signed out")).to_be_visible()


def test_sign_out_clears_the_stored_data_in_all_tabs(open_console, api):
    link = token()
    page = open_console(link)
    other = open_console(link, context=page.context)
    expect(other.get_by_role("heading", name="No open offers")).to_be_visible()
    page.locator(".me > summary").click()
    page.get_by_label("Sound for new offers").check()
    page.get_by_role("button", name="Sign out", exact=True).click()
    for each in (page, other):
        expect(each.get_by_text("You signed out")).to_be_visible()
        assert stored_keys(each) == ["console.sign-out"] * 2
        assert "Alice" not in each.inner_text("body").replace("for Alice or", "")
    before = api.count("/overview")
    time.sleep(1)
    assert api.count("/overview") == before
    page.reload()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


@pytest.mark.parametrize("has_provider", [True, False])
def test_sign_out_reminds_the_user_of_the_providers_session_or_of_the_link_in_the_history(
    open_console, api, has_provider
):
    api.has_provider = has_provider
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    page.locator(".me > summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_text("You signed out")).to_be_visible()
    reminder = page.get_by_text("You may still be signed in to your company account.")
    expect(reminder).to_have_count(int(has_provider))
    history = page.get_by_text("history and works until it expires. If others use")
    expect(history).to_have_count(int(not has_provider))
    expect(page.get_by_text("Nothing about you is kept")).to_have_count(0)


def test_sign_out_clears_tabs_with_an_expired_session(open_console, api):
    first, second = token(name="first"), token(name="second")
    api.offer("Marta")
    expired_tab = open_console(second)
    expired_tab.get_by_role("button", name="Accept by phone").click()
    expired_tab.get_by_label("Caller ID that the phone shows").fill("+1555")
    api.refused.add(second)
    expect(expired_tab.get_by_text("You will return to the offer Marta")).to_be_visible()
    page = open_console(first, context=expired_tab.context)
    other_user = open_console(token("supervisor"), context=expired_tab.context)
    expect(rows(other_user)).to_have_count(1)
    # The expired tab continues with the token of `page`, until that token is refused, too.
    expect(rows(expired_tab)).to_have_count(1)
    api.refused.add(first)
    for each in (page, expired_tab):
        expect(each.locator(".banner", has_text="Your session expired at")).to_be_visible()
    other_user.locator(".me > summary").click()
    other_user.get_by_role("button", name="Sign out", exact=True).click()
    for each in (other_user, page, expired_tab):
        expect(each.get_by_text("You signed out")).to_be_visible()
        assert stored_keys(each) == ["console.sign-out"] * 2
        assert "Marta" not in each.content()


def test_tab_that_left_the_console_is_cleared_when_the_user_returns_after_a_sign_out(
    open_console, api
):
    api.offer("Marta")
    user_token = token()
    page = open_console(user_token)
    away = open_console(user_token, context=page.context)
    away.get_by_role("button", name="Accept by phone").click()
    away.get_by_label("Caller ID that the phone shows").fill("+1555")
    away.goto("about:blank")
    sign_out(page)
    page.goto(f"{api.url}/console#token={token('supervisor', name='next')}")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Turn off", exact=True).click()
    polls = overview_requests(away)
    away.go_back()
    expect(away.get_by_text("You signed out")).to_be_visible()
    assert sorted(stored_keys(away)) == [
        "console.shortcuts",
        "console.sign-out",
        "console.sign-out",
    ]
    assert polls == []
    away.goto(f"{api.url}/console#token={token(name='later')}")
    expect(rows(away)).to_have_count(1)
    away.reload()
    expect(rows(away)).to_have_count(1)
    expect(rows(page)).to_have_count(1)


def test_page_restored_from_the_back_forward_cache_detects_a_sign_out(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    # Chromium does not cache a page that holds a lock, so the test dispatches `pageshow`. Only this
    # event can reveal the sign-out, because a page gets no storage events for its own changes.
    page.evaluate(
        """() => {
          localStorage.setItem("console.sign-out", 1);
          dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}));
        }"""
    )
    expect(page.get_by_text("You signed out")).to_be_visible()
    assert "Marta" not in page.content()
    assert stored_keys(page) == ["console.sign-out"] * 2


def test_sign_out_cancels_a_sign_in_that_another_tab_has_begun(open_console, api):
    api.has_provider = True
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    away = open_console(None, context=page.context)
    away.evaluate(
        "sessionStorage.setItem('console.sign-in', JSON.stringify({at: Date.now(), expiredAt: 1}))"
    )
    away.goto("about:blank")
    sign_out(page)
    away.goto(api.complete_sign_in(token())["headers"]["Location"])
    expect(away.get_by_role("link", name="Continue with company account")).to_be_visible()
    assert stored_keys(away) == ["console.sign-out"] * 2


def test_new_tab_after_a_sign_out_shows_only_the_sign_in_page(open_console, api):
    page = open_console()
    sign_out(page)
    new = open_console(None, context=page.context)
    expect(new.get_by_text("Open the link that make run prints")).to_be_visible()
    expect(new.locator(".banner")).to_have_count(0)


def test_typed_text_is_not_shown_after_a_sign_out_or_to_a_different_user(open_console, api):
    api.offer("Marta")
    user_token = token()
    page = open_console(user_token)
    for end, link in (("sign out", user_token), ("expire", token("supervisor", name="x"))):
        page.get_by_role("button", name="Accept by phone").click()
        page.get_by_label("Caller ID that the phone shows").fill("+1555")
        page.keyboard.press("Escape")
        if end == "sign out":
            page.locator(".me > summary").click()
            page.get_by_role("button", name="Sign out", exact=True).click()
        else:
            api.refused.add(user_token)
            expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
            page.reload()
        page.goto(f"{api.url}/console#token={link}")
        page.get_by_role("button", name="Accept by phone").click()
        expect(page.get_by_label("Caller ID that the phone shows")).to_have_value("")
        page.keyboard.press("Escape")


def test_reload_keeps_session_and_offers(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(rows(page)).to_have_count(1)
