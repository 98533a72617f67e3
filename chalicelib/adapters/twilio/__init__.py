"""Twilio adapters."""
