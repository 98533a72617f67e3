"""Ports on loopback: which are taken, and which are free."""

import socket

LOOPBACK = "127.0.0.1"
HIGHEST = 65535


def is_taken(port: int) -> bool:
    """Whether something listens on (or holds) this port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # What servers do too: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def find_free(count: int) -> list[int]:
    """Free ports of the loopback interface, all different.

    Args:
        count: How many.
    """
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
