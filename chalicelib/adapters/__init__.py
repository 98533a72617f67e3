"""Adapters for DynamoDB, SSM, Twilio and the rules file.

The adapters raise this service's errors.
"""
