"""Prints the new module name and exits: `simulator` is now `taskrouter_simulator`."""

import sys

sys.exit("This module was renamed. Run `python -m taskrouter_simulator`.")
