"""The interface that the browser SDK (`twilio-taskrouter` on npm) uses instead of the REST API.

The SDK receives events over a WebSocket, and posts its requests to the same path. Twilio does not
document the protocol. These modules implement the part that version 2.1.1 of the SDK uses.
"""
