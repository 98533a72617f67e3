"""The functions' policies: templates, because an ARN holds an account and a region.

`chalice deploy` hands a policy file to IAM as it stands, so it must hold plain ARNs; a repository
can't know them. What `render` writes is ignored by git.
"""

import json
from pathlib import Path
from string import Template
from typing import Any

from infra.aws.session import Aws
from infra.aws.stage_config import PROJECT, Stage

TEMPLATES = Path(__file__).parents[1] / "policies"

SECRETS_MANAGER = "/aws/reference/secretsmanager/"


def render(stage: Stage, *, partition: str, region: str, account: str) -> dict[str, Any]:
    """Make the policies of a stage.

    Args:
        stage: its functions, tables and secrets.
        partition: "aws", or "aws-cn" and its kin.
        region: such as "eu-west-1".
        account: twelve digits.

    Returns:
        By file, relative to `.chalice`, as config.json names it under ``iam_policy_file``.
    """
    policies = {}
    for handler, file in stage.policy_files.items():
        template = Template((TEMPLATES / f"{handler}.json").read_text(encoding="utf-8"))
        place = {"Partition": partition, "Region": region, "Account": account}
        policy = json.loads(
            template.substitute(
                place,
                Function=stage.function(handler),
                ReservationsTable=stage.settings.reservations_table,
                StateTable=stage.settings.state_table,
                SecretsParameter=stage.settings.secrets_parameter.lstrip("/"),
            )
        )
        if stage.settings.secrets_parameter.startswith(SECRETS_MANAGER):
            policy["Statement"].append(_secret(stage, place))
        policies[file] = policy
    return policies


def _secret(stage: Stage, place: dict[str, str]) -> dict[str, str]:
    """SSM reads a secret with the rights of who asks; an ARN of one ends in six random letters."""
    name = stage.settings.secrets_parameter.removeprefix(SECRETS_MANAGER)
    arn = "arn:${Partition}:secretsmanager:${Region}:${Account}:secret:"
    return {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": Template(arn).substitute(place) + f"{name}-??????",
    }


def write(place: Aws, stage: Stage, project: Path = PROJECT) -> None:
    """Write a stage's policies where config.json names them."""
    policies = render(stage, partition=place.partition, region=place.region, account=place.account)
    for file, policy in policies.items():
        path = project / ".chalice" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
