"""Domain logic: no I/O and no clock; imports only the standard library and jmespath."""
