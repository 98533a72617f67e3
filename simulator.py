"""Print the new name of the module that was called `simulator`."""

import sys

sys.exit("This module is now called taskrouter_simulator: run python -m taskrouter_simulator.")
