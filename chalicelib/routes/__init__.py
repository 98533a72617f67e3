"""Routes, grouped into blueprints. They verify and parse requests, call use cases, and respond."""
