"""Print the new name of the module that was called `chaos`."""

import sys

sys.exit("This module is now called tests.chaos: run python -m tests.chaos.")
