"""Use cases, which receive their collaborators and the time as arguments."""
