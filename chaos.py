"""Exits with the new name of this module: `chaos` is now `tests.chaos`."""

import sys

sys.exit("This module was renamed. Run `python -m tests.chaos`.")
