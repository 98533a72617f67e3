"""Adapters for DynamoDB, SSM, Twilio and the rules file. They raise this service's errors."""
