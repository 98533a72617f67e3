"""Values of the simulator's account, with which a stage is configured."""


def sids_of(twilio):
    """Return the settings of a stage that name the account's resources."""
    return {
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_WORKSPACE_SID": twilio.workspace_sid,
        "TWILIO_WORKFLOW_SID": twilio.workflow_sid,
    }


def variables_of(twilio):
    """Return the variables of the shell that replace all answers in a terminal."""
    return sids_of(twilio) | {
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TWILIO_API_KEY_SID": twilio.api_key_sid,
        "TWILIO_API_KEY_SECRET": twilio.api_key_secret,
    }


def secrets_of(twilio):
    """Return the secrets of a stage, which the SSM parameter contains as JSON."""
    return {
        "auth_tokens": [twilio.auth_token],
        "api_keys": {twilio.api_key_sid: twilio.api_key_secret},
    }
