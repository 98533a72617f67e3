"""A TaskRouter that runs on loopback: stateful, signed callbacks, no Twilio account.

`simulator.engine` holds the rules and does no I/O; `simulator.rest` is Twilio's REST surface over
it; `simulator.callbacks` posts what the engine asks for; `simulator.server` ties them together.
"""
