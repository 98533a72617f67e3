"""The deploy role's policy is sufficient, small enough, and limited to this project if possible."""

import json

import pytest

from infra.aws import template
from tests.infra.deploy_role import (
    CLOUDFORMATION,
    NOT_RECORDED,
    POLICY,
    allowed_actions,
    is_allowed,
)

STATEMENTS = json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]
DEPLOY = (POLICY.parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")

WITHOUT_PROJECT_NAME = {"Apis", "CustomDomain", "RoleForAccessLogs", "WithoutResource"}
"""Statements whose resources can't be limited to names that start with the project's name."""


def test_policy_allows_the_calls_that_cloudformation_makes():
    assert {
        action for actions in CLOUDFORMATION.values() for action in actions
    } <= allowed_actions()
    types = {resource["Type"] for resource in template.read()["Resources"].values()}
    assert types == CLOUDFORMATION.keys()


def test_policy_contains_the_unrecorded_actions_but_no_wildcards():
    assert not [action for action in allowed_actions() if "*" in action]
    assert NOT_RECORDED.keys() <= allowed_actions()


def test_policy_fits_within_the_size_limit_of_a_managed_policy():
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    assert len(json.dumps(json.loads(POLICY.read_text()), separators=(",", ":"))) <= 6_144


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement["Sid"])
def test_only_listed_statements_apply_to_resources_outside_the_project(statement):
    resources = statement["Resource"]
    resources = resources if isinstance(resources, list) else [resources]
    limited = all("taskrouter-callbacks" in arn for arn in resources)
    assert limited is (statement["Sid"] not in WITHOUT_PROJECT_NAME)


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        (
            "dynamodb:PutItem",
            "arn:aws:dynamodb:eu-west-1:1:table/taskrouter-callbacks-dev-reservations",
        ),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:eu-west-1:1:table/orders"),
        ("iam:PutRolePolicy", "arn:aws:iam::1:role/admin"),
        ("iam:PassRole", "arn:aws:iam::1:role/admin"),
        ("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:1:function:taskrouter-callbacks-dev"),
        ("ssm:GetParameter", "arn:aws:ssm:eu-west-1:1:parameter/other/secrets"),
        ("apigateway:PATCH", "arn:aws:apigateway:eu-west-1::/account"),
        ("s3:GetObject", "arn:aws:s3:::other/key"),
    ],
)
def test_policy_does_not_allow_calls_that_no_deployment_needs(action, arn):
    assert not is_allowed(action, arn)


def test_roles_of_functions_can_be_passed_only_to_lambda():
    (statement,) = [item for item in STATEMENTS if item["Action"] == "iam:PassRole"]
    assert statement["Condition"] == {
        "StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}
    }


def test_guide_names_the_policy_file():
    assert "infra/deploy-role-policy.json" in DEPLOY
