"""Twilio's REST API for TaskRouter, without the routing rules, which are in `engine`."""
