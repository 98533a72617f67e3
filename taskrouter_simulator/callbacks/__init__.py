"""Sends signed callbacks to the app and processes its responses."""
