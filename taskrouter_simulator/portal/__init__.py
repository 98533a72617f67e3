"""The portal: a web page that plays the part of TaskRouter's pages in Twilio's Console.

The page reads one overview, `GET /simulator/state`, and makes changes through the REST API under
/v1 like any other client, so it contains no routing rules.
"""
