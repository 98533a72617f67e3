"""Callbacks: signed, posted within their limit, and what becomes of the answer."""
