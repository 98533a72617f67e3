"""The definition of the Workspace: checks it."""
