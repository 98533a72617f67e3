"""`chalice local`, fit for programs as callers.

As it comes, Chalice's server writes headers and body in two packets with Nagle's algorithm on, so
every request on a kept connection waits some 40 ms for a delayed acknowledgement; and it queues
five connections, so that fifty simultaneous callers wait for retransmissions.
"""

import sys

from chalice import local
from chalice.cli import main

ACCEPT_QUEUE = 128


def serve(port: int, stage: str) -> None:
    """Be `chalice local` until a signal ends the process.

    Args:
        port: On 127.0.0.1.
        stage: Of .chalice/config.json.
    """
    local.ChaliceRequestHandler.disable_nagle_algorithm = True
    local.ThreadedHTTPServer.request_queue_size = ACCEPT_QUEUE
    sys.argv = ["chalice", "local", "--stage", stage, "--no-autoreload", "--port", str(port)]
    sys.exit(main())
