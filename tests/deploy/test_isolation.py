"""Callbacks are answered while API clients or consoles saturate their routes.

Meanwhile, TaskRouter posts events but does not respond to the app's requests. The emulated account
allows 10 concurrent executions, like some new AWS accounts. The emulator applies this limit and the
throttling limits in the deployed stage's method settings.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from tests.deploy.conftest import REGION, STAGE
from tests.deploy.test_deploy import callback_parameters, deploy, put_secrets, token

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]

CONCURRENCY = 10
SECONDS = 40
CALLBACKS_PER_SECOND = 4
EVENT_TYPES = ("created", "accepted", "wrapup", "completed")
"""Events for each Reservation. TaskRouter therefore posts four events per assignment callback."""
MAX_P99_SECONDS = 1.0
MAX_MEASUREMENTS = 3
"""Maximum number of measurements. Other programs on the machine may slow down executions and
thus distort a measurement."""
MAX_ATTEMPTS = 3
"""Maximum number of attempts to start an execution environment. An attempt can time out on a
busy machine."""
API_CLIENTS = {
    "POST /reservations/{sid}/accept": 50,
    "POST /reservations/{sid}/reject": 1,
    "POST /reservations/{sid}/complete": 1,
    "POST /accept_reservation": 1,
    "POST /create-task": 1,
    "GET /reservations": 10,
}
CONSOLES = {"GET /overview": 20, "GET /console": 5, "GET /activities": 1}
"""Requests per second by route. All rates exceed a new account's throttling limits. The consoles of
60 agents send 20 polls per second."""

AGENT = f"WK{0xA:032x}"
"""The Worker whose consoles send requests. The callbacks are about a different Worker, because an
agent has only a few open Reservations in practice."""

RECORDED = 204
THROTTLED = 429
UNAVAILABLE = 503
NO_EXECUTION = "no execution was available"


@pytest.fixture
def account_concurrency():
    return CONCURRENCY


def reservation_sids(first=0):
    return (f"WR{number:032x}" for number in itertools.count(first))


@dataclass
class CallbackResponses:
    """The responses to callbacks. A failed callback is retried at the fallback.

    Attributes:
        recorded: The Reservations whose callback or fallback got a 200.
        lost: The Reservations without such a response.
        seconds: The time until the last response, for each callback.
        outcomes: Number of responses to callbacks, excluding fallbacks, by outcome.
    """

    recorded: list = field(default_factory=list)
    lost: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    outcomes: Counter = field(default_factory=Counter)

    def __str__(self):
        return f"{dict(self.outcomes)}, {len(self.lost)} lost, p99 {self.p99:.2f} s"

    @property
    def p99(self):
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


class Api:
    """Sends requests to the deployed API.

    Attributes:
        bearer: The clients' token.
        clients: The clients' requests per second, by route.
        client_outcomes: Number of responses to clients' requests, by route and outcome.
        event_outcomes: Number of responses to events, by outcome.
    """

    def __init__(self, aws, twilio, bearer, clients):
        (api,) = aws.client("apigateway").get_rest_apis()["items"]
        self._aws, self._twilio, self.bearer = aws, twilio, bearer
        self.clients = clients
        self._host = f"{api['id']}.execute-api.{REGION}.amazonaws.com"
        self._url = f"{aws.url}/restapis/{api['id']}/{STAGE}/_user_request_"
        self.client_outcomes = {name: Counter() for name in clients}
        self.event_outcomes = Counter()

    def start_environments(self):
        """Start all execution environments; each imports all modules that requests need.

        Unlike on Lambda, all environments share this machine's processors while they start.
        """
        event = {
            "resource": "/reservations/{sid}/reject",
            "httpMethod": "POST",
            "headers": self._authorization | {"Content-Type": "application/json"},
            "multiValueQueryStringParameters": None,
            "stageVariables": None,
            "pathParameters": {"sid": next(reservation_sids())},
            "requestContext": {
                "resourcePath": "/reservations/{sid}/reject",
                "httpMethod": "POST",
                "path": f"/{STAGE}/reservations/{next(reservation_sids())}/reject",
            },
            "body": json.dumps(self._body("/reject")),
            "isBase64Encoded": False,
        }
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            # If all environments started at once, they could exceed the function's time limit.
            for running in range(2, CONCURRENCY + 1, 2):
                # While the started environments wait for TaskRouter, the emulator starts others.
                self._twilio.fault("request", "latency", seconds=1, times=running)
                assert list(pool.map(self._invoke, [event] * running)) == [404] * running

    def _invoke(self, event):
        """Return the status of the first attempt without a 503, or of the last attempt."""
        for _ in range(MAX_ATTEMPTS):
            response = self._aws.client("lambda").invoke(
                FunctionName=f"taskrouter-callbacks-{STAGE}", Payload=json.dumps(event)
            )
            result = json.load(response["Payload"])
            status = result.get("statusCode", result)
            if status != UNAVAILABLE:
                break
        return status

    @property
    def _authorization(self):
        return {"Authorization": f"Bearer {self.bearer}"}

    def _body(self, path):
        if path == "/create-task":
            return {"attributes": json.dumps({"selected_language": "es"})}
        return {"task_sid": callback_parameters(self._twilio)["TaskSid"]}

    async def _request(self, session, method, path, headers, **body):
        headers = {"Host": self._host, **headers}
        async with session.request(method, self._url + path, headers=headers, **body) as response:
            await response.read()
            # Only API Gateway's own 429 has this header. Any other 429 comes from Lambda.
            is_from_lambda = response.status == THROTTLED and "Retry-After" not in response.headers
            return NO_EXECUTION if is_from_lambda else response.status

    async def _post_signed(self, session, path, reservation_sid, **parameters):
        form = callback_parameters(self._twilio) | {"ReservationSid": reservation_sid} | parameters
        url = f"https://{self._host}/{STAGE}{path}"
        signature = RequestValidator(self._twilio.auth_token).compute_signature(url, form)
        headers = {"X-Twilio-Signature": signature}
        return await self._request(session, "POST", path, headers, data=form)

    async def post_callbacks(self, session, sids, seconds, **parameters):
        """Post callbacks and, like TaskRouter, call the fallback if a callback fails."""
        responses = CallbackResponses()

        async def post_callback():
            sid, started = next(sids), time.monotonic()
            outcome = await self._post_signed(session, "/assignment_callback", sid, **parameters)
            responses.outcomes[outcome] += 1
            if outcome != 200:
                outcome = await self._post_signed(
                    session, "/assignment_callback/fallback", sid, **parameters
                )
            responses.seconds.append(time.monotonic() - started)
            (responses.recorded if outcome == 200 else responses.lost).append(sid)

        await send_at(CALLBACKS_PER_SECOND, seconds, post_callback)
        return responses

    async def post_events(self, session, sids, seconds):
        """Post the events of as many Reservations as there are callbacks, in TaskRouter's order."""
        events = ((sid, event_type) for sid in sids for event_type in EVENT_TYPES)

        async def post_event():
            sid, event_type = next(events)
            outcome = await self._post_signed(
                session, "/event_callback", sid, EventType=f"reservation.{event_type}"
            )
            self.event_outcomes[outcome] += 1

        await send_at(CALLBACKS_PER_SECOND * len(EVENT_TYPES), seconds, post_event)

    async def saturate(self, session, name, sids):
        """Send the clients' requests to a route, each for a different Reservation."""
        method, path = name.split()

        async def send():
            body = {"json": self._body(path)} if method == "POST" else {}
            url_path = path.replace("{sid}", next(sids))
            outcome = await self._request(session, method, url_path, self._authorization, **body)
            self.client_outcomes[name][outcome] += 1

        await send_at(self.clients[name], SECONDS, send)


async def send_at(rate, seconds, send):
    """Send requests at a constant rate, however long their responses take."""
    started, requests = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(started + number / rate - time.monotonic())
        requests.append(asyncio.create_task(send()))
    await asyncio.gather(*requests)


async def measure(api, twilio):
    """Return the callback responses of the first successful measurement, or of the last one."""
    connector = aiohttp.TCPConnector(limit=1_000)
    async with aiohttp.ClientSession(connector=connector) as session:
        pending = await api.post_callbacks(session, reservation_sids(), 5)
        assert not pending.lost
        await api.post_callbacks(
            session, reservation_sids(0x8_0000), 1 / CALLBACKS_PER_SECOND, WorkerSid=AGENT
        )
        # The app looks up unrecorded Reservations in TaskRouter, so requests about them must wait.
        twilio.fault("request", "latency", seconds=60, times=None)
        for number in range(1, MAX_MEASUREMENTS + 1):
            first = number * 0x10_0000
            responses, *_ = await asyncio.gather(
                api.post_callbacks(session, reservation_sids(first), SECONDS),
                # The events and the callbacks are about different Reservations.
                api.post_events(session, reservation_sids(first + 0x8_0000), SECONDS),
                *(api.saturate(session, name, reservation_sids()) for name in api.clients),
            )
            outcomes = {**api.client_outcomes, "events": api.event_outcomes}
            print(responses, outcomes)  # noqa: T201  `pytest -rP` shows the results
            if not responses.lost and responses.p99 < MAX_P99_SECONDS:
                break
        return responses


def read_recorded_sids(aws):
    pages = aws.client("dynamodb").get_paginator("scan")
    table = f"taskrouter-callbacks-{STAGE}-reservations"
    return {
        item["reservation_sid"]["S"]
        for page in pages.paginate(TableName=table)
        for item in page["Items"]
    }


@pytest.mark.parametrize(
    "load",
    [(("supervisor",), API_CLIENTS), (("worker", "--worker", AGENT), CONSOLES)],
    ids=["API clients", "consoles"],
)
def test_callbacks_are_answered_while_other_routes_are_saturated(
    load, aws, checkout, twilio, secrets
):
    role, clients = load
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    api = Api(aws, twilio, token(checkout), clients)
    api.start_environments()
    api.bearer = token(checkout, *role)

    responses = asyncio.run(measure(api, twilio))

    twilio.clear_faults()
    assert responses.lost == [], str(responses)
    assert set(responses.recorded) <= read_recorded_sids(aws)
    assert responses.p99 < MAX_P99_SECONDS, sorted(responses.seconds)[-20:]
    # The routes were saturated, and some requests waited for TaskRouter.
    assert all(outcomes[THROTTLED] for outcomes in api.client_outcomes.values()), (
        api.client_outcomes
    )
    assert any(outcomes[UNAVAILABLE] for outcomes in api.client_outcomes.values()), (
        api.client_outcomes
    )
    # Most events are recorded. The reconciliation records the statuses in throttled events.
    assert api.event_outcomes[RECORDED] > api.event_outcomes[THROTTLED], api.event_outcomes
