"""The deploy role's policy, and the actions and resources in it that no recorded call uses."""

import json
from fnmatch import fnmatchcase

from infra.aws import template

POLICY = template.FILE.with_name("deploy-role-policy.json")

CLOUDFORMATION = {
    "AWS::CloudWatch::Alarm": {
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
    },
    "AWS::CloudWatch::Dashboard": {
        "cloudwatch:DeleteDashboards",
        "cloudwatch:GetDashboard",
        "cloudwatch:PutDashboard",
    },
    "AWS::DynamoDB::Table": {
        "dynamodb:CreateTable",
        "dynamodb:DeleteTable",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeContributorInsights",
        "dynamodb:DescribeKinesisStreamingDestination",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:GetResourcePolicy",
        "dynamodb:ListTagsOfResource",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:UpdateTable",
        "dynamodb:UpdateTimeToLive",
    },
    "AWS::Logs::LogGroup": {
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:DescribeIndexPolicies",
        "logs:DescribeLogGroups",
        "logs:GetDataProtectionPolicy",
        "logs:ListTagsForResource",
        "logs:PutRetentionPolicy",
        "logs:TagResource",
        "logs:UntagResource",
    },
    "AWS::Logs::MetricFilter": {
        "logs:DeleteMetricFilter",
        "logs:DescribeMetricFilters",
        "logs:PutMetricFilter",
    },
    "AWS::S3::Bucket": {
        "s3:CreateBucket",
        "s3:DeleteBucket",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetBucketTagging",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketTagging",
        "s3:PutBucketVersioning",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
    },
    "AWS::S3::BucketPolicy": {
        "s3:DeleteBucketPolicy",
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
    },
    "AWS::SNS::Topic": {
        "sns:CreateTopic",
        "sns:DeleteTopic",
        "sns:GetDataProtectionPolicy",
        "sns:GetTopicAttributes",
        "sns:ListSubscriptionsByTopic",
        "sns:ListTagsForResource",
        "sns:SetTopicAttributes",
        "sns:TagResource",
        "sns:UntagResource",
    },
}
"""Actions that CloudFormation executes with the permissions of its caller, by resource type."""

NOT_RECORDED = {
    "iam:CreateServiceLinkedRole": (
        "API Gateway creates the service-linked role when the first custom domain is created"
    ),
}
"""Actions that are neither listed above nor recorded, and the reasons for allowing them."""


UNUSED_RESOURCES = {
    "arn:*:apigateway:*::/domainnames": "the recorded stage has no custom domain",
    "arn:*:apigateway:*::/domainnames/*": "the recorded stage has no custom domain",
    "arn:*:iam::*:role/aws-service-role/ops.apigateway.amazonaws.com/*": "see NOT_RECORDED",
}
"""Resources that no recorded call uses, and the reasons for allowing them."""


def _statements():
    return json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]


def _as_list(value):
    return value if isinstance(value, list) else [value]


def allowed_actions():
    """Return all actions in the policy."""
    return {action for item in _statements() for action in _as_list(item["Action"])}


def unused_resources(recorded):
    """Return the policy's resources that neither recorded calls nor CloudFormation need.

    Args:
        recorded: Pairs of an action and an ARN.
    """
    cloudformation_actions = {action for actions in CLOUDFORMATION.values() for action in actions}
    return {
        pattern
        for statement in _statements()
        for pattern in _as_list(statement["Resource"])
        if not cloudformation_actions & {*_as_list(statement["Action"])}
        and not any(
            action in _as_list(statement["Action"]) and fnmatchcase(arn, pattern)
            for action, arn in recorded
        )
    }


def is_allowed(action, arn):
    """Return whether the policy allows an action on a resource."""
    return any(
        action in _as_list(statement["Action"])
        and any(fnmatchcase(arn, pattern) for pattern in _as_list(statement["Resource"]))
        for statement in _statements()
    )
