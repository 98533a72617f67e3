"""Domain logic: no I/O, no clock, no imports except the standard library and jmespath."""
