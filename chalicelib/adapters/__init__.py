"""Adapters for DynamoDB, SSM, Twilio and the rules file.

They convert failures of external services into the errors in `chalicelib.domain.errors`.
"""
