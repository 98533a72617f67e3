"""Prepares the app for `chalice local`."""

from chalice.app import Chalice


def configure(app: Chalice, *, stage: str, host: str, port: int) -> None:
    """Prepare the app to be served by `chalice local`.

    Args:
        app: The imported app.
        stage: The stage whose settings `chalice local` uses.
        host: The address that it listens on.
        port: The port that it listens on.
    """
