"""One module per use case. Collaborators and the current time are passed as arguments."""
