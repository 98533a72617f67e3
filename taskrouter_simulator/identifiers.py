"""SIDs as Twilio shapes them: two letters and 32 hexadecimal digits."""

import hashlib
import secrets


def new_sid(prefix: str) -> str:
    """A SID that nothing else has.

    Args:
        prefix: Twilio's two letters of the resource, such as "WT".
    """
    return prefix + secrets.token_hex(16)


def made_up(name: str) -> str:
    """32 hexadecimal digits that stay the same from run to run.

    Derived, not written down, so that no scanner takes a made-up secret for a real one.

    Args:
        name: what the digits stand for, such as "account" or "worker/Alice".
    """
    return hashlib.sha256(f"taskrouter-simulator/{name}".encode()).hexdigest()[:32]
