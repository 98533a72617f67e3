"""What the simulator tells of itself."""

import json
import urllib.request
from typing import Any


def names(url: str) -> dict[str, Any]:
    """Its made-up credentials, and the SIDs by name: what GET /simulator answers.

    Args:
        url: The simulator's.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/simulator", timeout=5) as answer:
        described: dict[str, Any] = json.load(answer)
    return described
