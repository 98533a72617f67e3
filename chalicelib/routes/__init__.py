"""One blueprint per subject. Routes verify and parse requests, call use cases, and respond."""
