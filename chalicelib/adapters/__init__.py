"""Adapters for AWS services, Twilio, the identity provider and the rules file.

The adapters convert failures of external services into errors defined in `chalicelib.domain`.
"""
