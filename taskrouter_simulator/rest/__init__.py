"""Twilio's REST API for TaskRouter: paths, parameters, lists and errors, but no routing rules."""
