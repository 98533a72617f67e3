"""The portal: a page that stands in for the TaskRouter pages of Twilio's Console.

It reads one overview, `GET /simulator/state`, and changes things through the REST API under /v1
like any other client, so it has no rules of its own.
"""
