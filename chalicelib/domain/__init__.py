"""Domain logic, without I/O or a clock.

The domain imports only the standard library and jmespath.
"""
