"""Twilio's REST API for TaskRouter, without routing rules."""
