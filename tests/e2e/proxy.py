"""A proxy in front of TaskRouter that records requests and can drop connections."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from local import network

FORWARDED_HEADERS = ("Authorization", "Content-Type", "Accept")


class DisconnectError(Exception):
    """Raised by a hook to close the connection without a response."""


@dataclass(frozen=True)
class ProxiedRequest:
    """A request that the app sends to TaskRouter."""

    method: str
    path: str
    form: dict

    @property
    def updates_reservation(self):
        return self.method == "POST" and "/Reservations/" in self.path


@dataclass
class Proxy:
    """Forwards requests, and calls a hook before and after each request.

    A hook may block or raise DisconnectError.

    Attributes:
        upstream: Base URL that requests are forwarded to.
        url: Base URL of the proxy.
        forwarded: Requests for which the upstream has returned a response.
        before: Hook that is called before a request is forwarded.
        after: Hook that is called before the response is returned.
    """

    upstream: str
    url: str = ""
    forwarded: list = field(default_factory=list)
    before: object = staticmethod(lambda request: None)
    after: object = staticmethod(lambda request: None)

    @property
    def updates(self):
        return [request for request in self.forwarded if request.updates_reservation]

    def forward(self, method, path, headers, body):
        upstream = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type", ""), response.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._forward()

    def do_POST(self):
        self._forward()

    def log_message(self, *arguments):
        pass

    def _forward(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: self.headers[name] for name in FORWARDED_HEADERS if name in self.headers}
        request = ProxiedRequest(self.command, self.path, parse_qs(body.decode()))
        try:
            proxy.before(request)
            status, content_type, content = proxy.forward(self.command, self.path, headers, body)
            proxy.forwarded.append(request)
            proxy.after(request)
        except DisconnectError:
            self.close_connection = True
            return
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # The client has disconnected.


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def run_proxy(upstream, port=0):
    """Run a proxy that forwards requests to a base URL."""
    server = _Server((network.LOOPBACK, port), _Handler)
    server.proxy = Proxy(upstream, network.url(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
