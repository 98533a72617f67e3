"""Signed callbacks to the app, and the processing of its responses."""
