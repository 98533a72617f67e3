"""A stateful local simulator of Twilio TaskRouter that needs no Twilio account.

`engine` contains TaskRouter's rules and does no I/O, `rest` is Twilio's REST API, `callbacks` posts
what the engine emits, `portal` is a web page, and `server` connects them.
"""
