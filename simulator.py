"""Prints the new name of the module `taskrouter_simulator`, which was called `simulator`."""

import sys

sys.exit("This module was renamed. Run `python -m taskrouter_simulator`.")
