"""The definition of a Workspace: its format, its file, and its conversion to TaskRouter's JSON.

`model` defines the data, `reader` reads a file, and `configuration` converts and compares the
configurations of Workflows. `docs/workspace.md` describes the format.
"""
