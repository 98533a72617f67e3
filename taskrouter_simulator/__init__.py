"""A stateful local simulator of Twilio TaskRouter that needs no Twilio account.

`engine` implements TaskRouter's rules without I/O, and `rest` implements Twilio's REST API.
`callbacks` posts the engine's callbacks, `portal` serves a web page, and `server` connects these
packages.
"""

__version__ = "0.1.0"
