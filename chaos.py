"""Prints the new module name and exits: `chaos` is now `tests.chaos`."""

import sys

sys.exit("This module was renamed. Run `python -m tests.chaos`.")
