"""One blueprint a subject: verify, parse, call one use case, shape the answer."""
