"""The whole thing on a laptop: starts what is needed, and shows that it works."""
