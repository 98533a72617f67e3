"""HTTPS proxy on loopback that serves emulated APIs under their AWS host names.

Programs reach the APIs as they would on AWS if HTTPS_PROXY contains the proxy's URL and they trust
the proxy's certificate. Requests to other hosts are forwarded unchanged.
"""

import http.client
import os
import re
import select
import socket
import ssl
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TIMEOUT_SECONDS = 60


@contextmanager
def serving(emulator_url, region, folder):
    """Run the proxy; yield environment variables that make programs use the proxy."""
    domain = f"execute-api.{region}.amazonaws.com"
    certificate = make_certificate(f"*.{domain}", folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    api = re.compile(rf"(\w+)\.{re.escape(domain)}:443")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _proxy_handler(api, context, emulator_url))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = folder / "trusted.pem"
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
    bundle.write_text(Path(trusted).read_text() + certificate.read_text())
    try:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
            "REQUESTS_CA_BUNDLE": str(bundle),
        }
    finally:
        server.shutdown()
        server.server_close()


def _proxy_handler(api, context, emulator_url):
    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self):
            self.send_response(200)
            self.end_headers()
            if match := api.fullmatch(self.path):
                gateway = _gateway_handler(match[1], urlsplit(emulator_url))
                with context.wrap_socket(self.connection, server_side=True) as connection:
                    gateway(connection, self.client_address, self.server)
            else:
                _tunnel(self.connection, self.path)

        def log_message(self, *_):
            pass

    return Proxy


def _gateway_handler(api_id, emulator):
    """Return a handler that forwards requests for an API to the emulator."""

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self):
            _, stage, path = self.path.split("/", 2)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = f"/restapis/{api_id}/{stage}/_user_request_/{path}"
            backend = http.client.HTTPConnection(
                emulator.hostname, emulator.port, timeout=TIMEOUT_SECONDS
            )
            with closing(backend):
                backend.request(self.command, address, body, dict(self.headers))
                response = backend.getresponse()
                content = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    return Gateway


def _tunnel(client, address):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as server:
        peers = {client: server, server: client}
        while True:
            ready, _, _ = select.select([client, server], [], [], TIMEOUT_SECONDS)
            for connection in ready:
                data = connection.recv(65_536)
                if not data:
                    return
                peers[connection].sendall(data)
            if not ready:
                return


def make_certificate(name, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Emulated AWS")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
