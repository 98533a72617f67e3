"""The blueprints. Routes verify and parse requests, call use cases, and respond."""
