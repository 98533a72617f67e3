"""One file a use case; collaborators and the time come in as arguments."""
