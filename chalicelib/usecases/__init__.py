"""Use cases. Collaborators and the clock or current time are passed as arguments."""
