"""Stands between the app and TaskRouter: counts what passes, and breaks it where a test says so."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from local import network

PASSED_ON = ("Authorization", "Content-Type", "Accept")


class CutError(Exception):
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Passed:
    """A request that TaskRouter has answered."""

    method: str
    path: str
    form: dict

    @property
    def is_update_of_a_reservation(self):
        return self.method == "POST" and "/Reservations/" in self.path


@dataclass
class Proxy:
    """Set `before` or `after` to be called with each request; either may wait or raise CutError."""

    upstream: str
    url: str = ""
    passed: list = field(default_factory=list)
    before: object = staticmethod(lambda request: None)
    after: object = staticmethod(lambda request: None)

    @property
    def updates(self):
        return [request for request in self.passed if request.is_update_of_a_reservation]

    def forward(self, method, path, headers, body):
        host = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._pass_on()

    def do_POST(self):
        self._pass_on()

    def log_message(self, *arguments):
        pass

    def _pass_on(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        request = Passed(self.command, self.path, parse_qs(body.decode()))
        try:
            proxy.before(request)
            status, content_type, answer = proxy.forward(self.command, self.path, headers, body)
            proxy.passed.append(request)
            proxy.after(request)
        except CutError:
            self.close_connection = True
            return
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            self.close_connection = True  # the one who asked has gone


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def proxy_of(upstream, port=0):
    """Run a proxy in front of this address."""
    server = _Server((network.LOOPBACK, port), _Handler)
    server.proxy = Proxy(upstream, f"http://{network.LOOPBACK}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
