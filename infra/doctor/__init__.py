"""Checks of a live stage: its Twilio account, its URL and its AWS resources."""
