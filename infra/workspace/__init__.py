"""Checks, applies and exports the definition of a Workspace."""
