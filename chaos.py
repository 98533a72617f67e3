"""Prints the new name of the module `tests.chaos`, which was called `chaos`."""

import sys

sys.exit("This module was renamed. Run `python -m tests.chaos`.")
