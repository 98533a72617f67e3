"""Sends signed callbacks to the app and processes the responses."""
