"""Runs the commands in the documentation from top to bottom, page by page."""
