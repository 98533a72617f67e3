"""IAM policies of the functions, rendered from templates.

`chalice deploy` passes a policy file to IAM unchanged. ARNs therefore contain `*` instead of the
partition, the region and the account. The rendered files are the same in every account, so those of
the declared stages are committed.
"""

import json
from pathlib import Path
from string import Template
from typing import Any

from chalicelib.config import PROJECT
from infra.aws.stage_config import API, SWEEP, Stage

TEMPLATES = Path(__file__).parents[1] / "policies"

SECRETS_MANAGER = "/aws/reference/secretsmanager/"
"""Prefix of SSM parameter names that refer to a secret in Secrets Manager."""


def render(stage: Stage) -> dict[str, Any]:
    """Render the policies of a stage's functions.

    Returns:
        Policies by file path relative to `.chalice`, like ``iam_policy_file`` in config.json.
    """
    policies = {}
    for handler in (API, SWEEP):
        template = Template((TEMPLATES / f"{handler}.json").read_text(encoding="utf-8-sig"))
        text = template.substitute(
            Function=stage.function(handler),
            ReservationsTable=stage.settings.reservations_table,
            StateTable=stage.settings.state_table,
            SecretsParameter=stage.settings.secrets_parameter.lstrip("/"),
        )
        policy = json.loads(text)
        if stage.settings.secrets_parameter.startswith(SECRETS_MANAGER):
            policy["Statement"].append(_secret_statement(stage))
        policies[stage.policy_file(handler)] = policy
    return policies


def _secret_statement(stage: Stage) -> dict[str, str]:
    """Return the statement that allows reading the secret from Secrets Manager.

    SSM reads the secret with the permissions of the function that reads the parameter. The
    resource ends in wildcards, because the ARN of a secret ends in six random characters.
    """
    name = stage.settings.secrets_parameter.removeprefix(SECRETS_MANAGER)
    return {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": f"arn:*:secretsmanager:*:*:secret:{name}-??????",
    }


def write(stage: Stage) -> None:
    """Write each missing or outdated policy file that config.json specifies for a stage."""
    for file, policy in render(stage).items():
        path = PROJECT / ".chalice" / file
        text = json.dumps(policy, indent=2) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
