"""A stateful local simulator of Twilio TaskRouter that needs no Twilio account.

`engine` contains TaskRouter's rules and does no I/O, `rest` is Twilio's REST API, `callbacks` sends
the engine's callbacks, `portal` is a web page, and `server` connects these parts.
"""
