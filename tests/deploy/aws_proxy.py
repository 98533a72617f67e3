"""HTTP proxy that calls a function before it forwards a selected request to the emulator."""

import http.client
import re
import threading
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TIMEOUT_SECONDS = 60


def request_name(method, path, headers, body):
    """Return the operation of a JSON or query request, or the method and path of a REST request."""
    if target := headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if "x-www-form-urlencoded" in headers.get("Content-Type", ""):
        return parse_qs(body.decode())["Action"][0]
    return f"{method} {path}"


class Proxy:
    """A running proxy.

    Attributes:
        url: The proxy's base URL.
    """

    def __init__(self, url):
        self.url, self._pattern, self._action = url, None, None
        self._lock = threading.Lock()

    def call_before(self, pattern, action):
        """Call *action* once, before forwarding the next request whose name matches *pattern*."""
        self._pattern, self._action = re.compile(pattern), action

    def run_action_before(self, name):
        with self._lock:
            action = self._action if self._action and self._pattern.match(name) else None
            if action:
                self._action = None
        if action:
            action()


@contextmanager
def serving(emulator_url):
    """Run the proxy."""
    emulator = urlsplit(emulator_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.run_action_before(request_name(self.command, self.path, self.headers, body))
            backend = http.client.HTTPConnection(
                emulator.hostname, emulator.port, timeout=TIMEOUT_SECONDS
            )
            with closing(backend):
                backend.request(self.command, self.path, body, dict(self.headers))
                response = backend.getresponse()
                content = response.read()
            with suppress(OSError):  # the client may have exited
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.forward
            raise AttributeError(name)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
