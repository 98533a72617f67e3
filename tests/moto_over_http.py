"""Serves moto over HTTP, for clients that moto can't patch."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws
from moto.core.models import botocore_stubber


@dataclass
class MotoOverHttp:
    """A running moto server. boto3 clients in this process share its state without using HTTP.

    Attributes:
        url: base URL of the server.
        targets: the `X-Amz-Target` header of each request over HTTP.
    """

    url: str = ""
    targets: list[str] = field(default_factory=list)


@contextmanager
def serve_moto() -> Iterator[MotoOverHttp]:
    """Serve DynamoDB and SSM. The `X-Amz-Target` header selects the service."""
    moto = MotoOverHttp()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections alive, as AWS does

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers["X-Amz-Target"]
            moto.targets.append(target)
            service = "ssm" if target.startswith("AmazonSSM") else "dynamodb"
            url = f"https://{service}.us-east-1.amazonaws.com/"
            request = AWSPreparedRequest("POST", url, dict(self.headers), body, False)
            response = botocore_stubber("before-send", request)
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def log_message(self, *_arguments: object) -> None:
            pass

    # moto would otherwise restore a test's credentials after the fixtures have removed them.
    config = {"core": {"mock_credentials": False}}
    with mock_aws(config=config), ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        moto.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield moto
        server.shutdown()
        thread.join()
