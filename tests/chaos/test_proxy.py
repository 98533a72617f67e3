"""The effects of request faults on the client and the upstream server."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.runner.plan import Connection, RequestFault
from tests.chaos.runner.proxy import Proxy

SID = "WR" + "1" * 32
EVENT = {"ReservationSid": SID, "EventType": "reservation.created"}


@asynccontextmanager
async def proxied_server():
    """Run a server behind a proxy.

    Yield the proxy, a function that posts through the proxy, and the list of received requests.
    """
    received = []

    async def respond(request):
        received.append((request.method, request.path_qs, await request.text()))
        return web.Response(text="yes", headers={"X-Custom": "1"})

    runner = web.ServerRunner(web.Server(respond))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    proxy = Proxy()
    proxy.upstream = f"http://{host}:{port}"
    async with proxy.serve(), aiohttp.ClientSession() as session:

        async def post(path="/", data=None):
            try:
                async with session.post(proxy.url + path, data=data) as response:
                    return response.status, await response.text()
            except aiohttp.ClientError:
                return None

        yield proxy, post, received
    await runner.cleanup()


def inject_and_send(fault, *, path=f"/Reservations/{SID}", data=None, requests=1, marker=SID):
    """Inject a fault and send requests.

    Return the responses, the number of requests received by the server, and the fault's count.
    """

    async def send_requests():
        async with proxied_server() as (proxy, post, received):
            proxy.inject(fault, marker)
            responses = [await post(path, data) for _ in range(requests)]
            await proxy.wait_for_late_requests()
            return responses, len(received), proxy.fault_counts[fault]

    return asyncio.run(send_requests())


def test_request_without_a_matching_fault_is_forwarded_unchanged():
    async def send_request():
        async with proxied_server() as (proxy, post, received):
            proxy.inject(RequestFault(Connection.REST, "disconnected"), "WR" + "2" * 32)
            assert await post("/a?b=c%20d", {"e": "f g"}) == (200, "yes")
            assert received == [("POST", "/a?b=c%20d", "e=f+g")]
            assert not proxy.fault_counts

    asyncio.run(send_request())


@pytest.mark.parametrize(
    ("fault", "response", "received_count"),
    [
        (RequestFault(Connection.REST, "disconnected"), None, 0),
        (RequestFault(Connection.REST, "disconnected", after=True), None, 1),
        (RequestFault(Connection.REST, "error response", response=(429, "no")), (429, "no"), 0),
        (
            RequestFault(Connection.REST, "error response", after=True, response=(500, "no")),
            (500, "no"),
            1,
        ),
        (RequestFault(Connection.REST, "duplicated"), (200, "yes"), 2),
        (RequestFault(Connection.REST, "delivered late", seconds=0.05), None, 1),
        (RequestFault(Connection.REST, "delayed", seconds=0.05), (200, "yes"), 1),
        (RequestFault(Connection.REST, "delayed", seconds=0.05, after=True), (200, "yes"), 1),
    ],
    ids=lambda value: value.name if isinstance(value, RequestFault) else "",
)
def test_fault_affects_a_single_request(fault, response, received_count):
    assert inject_and_send(fault, requests=2) == ([response, (200, "yes")], received_count + 1, 1)


def test_delayed_request_takes_at_least_as_long_as_the_delay():
    started = time.monotonic()
    inject_and_send(RequestFault(Connection.REST, "delayed", seconds=0.2))
    assert time.monotonic() - started >= 0.2


def test_dripping_response_arrives_byte_by_byte(monkeypatch):
    monkeypatch.setattr("tests.chaos.runner.proxy._BYTE_SECONDS", 0.1)
    started = time.monotonic()
    fault = RequestFault(Connection.REST, "dripping", after=True, seconds=9)
    assert inject_and_send(fault) == ([(200, "yes")], 1, 1)
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("after", [False, True])
def test_unanswered_fault_closes_the_connection_only_after_its_delay(after):
    fault = RequestFault(Connection.REST, "unanswered", after=after, seconds=0.2)
    started = time.monotonic()
    assert inject_and_send(fault) == ([None], int(after), 1)
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("path", "data", "subject"),
    [
        ("/v1/Workspaces/WS1/Events?PageSize=1000", None, "list of Events"),
        ("/v1/Workspaces/WS1/Tasks?PageSize=1000", None, "list of Tasks"),
        ("/", b'{"ExpressionAttributeValues": {":set_answer": {"M": {}}}}', "answer"),
    ],
)
def test_fault_affects_only_requests_with_its_subject(path, data, subject):
    fault = RequestFault(Connection.REST, "disconnected", subjects=(subject,))
    assert inject_and_send(fault, path=path, data=data, marker="") == ([None], 0, 1)
    assert inject_and_send(fault, path="/v1/Workspaces/WS1/Tasks", marker="")[0] == [(200, "yes")]


def test_fault_that_loses_requests_affects_all_matching_requests_and_is_counted_once():
    subjects = ("fallback", "event reservation.created")
    fault = RequestFault(Connection.CALLBACKS, "lost", subjects=subjects)
    lost = inject_and_send(fault, path="/event_callback", data=EVENT, requests=3)
    assert lost == ([None] * 3, 0, 1)


def test_fault_does_not_affect_callbacks_with_other_subjects():
    fault = RequestFault(Connection.CALLBACKS, "disconnected", subjects=("assignment",))
    forwarded = inject_and_send(fault, path="/event_callback", data=EVENT)
    assert forwarded == ([(200, "yes")], 1, 0)


def test_proxy_that_is_down_forwards_nothing():
    async def send_requests():
        async with proxied_server() as (proxy, post, received):
            proxy.is_down = True
            assert await post() is None
            proxy.is_down = False
            assert await post() == (200, "yes")
            assert len(received) == 1

    asyncio.run(send_requests())


@pytest.mark.parametrize(
    ("outage", "error"),
    [
        (Proxy.refusing_connections, ConnectionRefusedError),
        (Proxy.resetting_connections, ConnectionResetError),
    ],
)
def test_connections_fail_before_a_request_is_sent(outage, error):
    async def connect(proxy):
        host, port = proxy.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def send_requests():
        async with proxied_server() as (proxy, post, received):
            assert await post() == (200, "yes")  # the session keeps this connection open
            async with outage(proxy):
                assert await post() is None
                with pytest.raises(error):
                    await connect(proxy)
            assert await post() == (200, "yes")
            assert len(received) == 2

    asyncio.run(send_requests())
