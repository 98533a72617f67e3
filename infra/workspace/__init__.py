"""Checks, plans, applies and exports the definition of a Workspace."""
