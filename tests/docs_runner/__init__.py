"""Runs the commands of the documentation from top to bottom, page by page."""
