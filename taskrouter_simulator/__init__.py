"""A stateful local simulator of Twilio TaskRouter that needs no Twilio account.

`engine` implements TaskRouter's rules without I/O, and `rest` implements Twilio's REST API.
`callbacks` posts the engine's callbacks, `event_bridge` serves Twilio's browser SDK, and `portal`
serves a web page. `definition` and `checks` read and check definitions of Workspaces. `server`
connects the packages that serve requests.
"""

__version__ = "0.1.0"
