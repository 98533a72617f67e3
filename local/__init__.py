"""The local stack, which runs the whole system on one machine, and its demo."""
