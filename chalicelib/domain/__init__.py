"""The rules of the field: standard library only, no clock, no I/O."""
