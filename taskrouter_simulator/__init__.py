"""A TaskRouter that runs on loopback: stateful, signed callbacks, no Twilio account.

`engine` holds the rules and does no I/O; `rest` is Twilio's REST surface over
it; `callbacks` posts what the engine asks for; `server` ties them together.
"""
