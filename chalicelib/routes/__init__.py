"""Routes, grouped into blueprints.

The routes verify and parse requests, call use cases, and respond.
"""
