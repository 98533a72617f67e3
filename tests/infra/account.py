"""Settings and secrets of a stage that uses the simulator's account."""


def sids_of(twilio):
    """Return the stage's settings that contain the account's SIDs."""
    return {
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_WORKSPACE_SID": twilio.workspace_sid,
        "TWILIO_WORKFLOW_SID": twilio.workflow_sid,
    }


def variables_of(twilio):
    """Return the environment variables that answer the prompts for SIDs and secrets."""
    return sids_of(twilio) | {
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TWILIO_API_KEY_SID": twilio.api_key_sid,
        "TWILIO_API_KEY_SECRET": twilio.api_key_secret,
    }


def secrets_of(twilio):
    """Return the stage's secrets, which its SSM parameter contains as JSON."""
    return {
        "auth_tokens": [twilio.auth_token],
        "api_keys": {twilio.api_key_sid: twilio.api_key_secret},
    }
