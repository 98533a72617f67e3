"""Domain logic, without I/O or a clock, based on the standard library and jmespath."""
