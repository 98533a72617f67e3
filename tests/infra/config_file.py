"""Changes the configuration of a checkout."""

import json
from contextlib import contextmanager


@contextmanager
def edit_config(folder):
    """Yield the parsed config.json of a checkout, then write it back with any changes."""
    path = folder / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    yield config
    path.write_text(json.dumps(config))
