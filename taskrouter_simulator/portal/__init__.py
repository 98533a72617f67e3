"""The portal: a web page that replaces TaskRouter's pages in Twilio's Console.

The page polls `GET /simulator/state` for an overview. Like any other client, the page changes
resources through the REST API under /v1, so the page contains no routing rules.
"""
