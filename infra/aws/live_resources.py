"""A stage's functions, API and related resources, as found in AWS rather than in a record."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra import OperatorError
from infra.aws import Aws, stacks
from infra.aws.stage_config import API, SWEEP, Stage

_NOT_FOUND = ("ResourceNotFoundException", "NoSuchEntity", "NotFoundException")


def find_api_id(aws: Aws, stage: Stage, *, recorded_id: str | None = None) -> str | None:
    """Return the ID of the stage's API, or None if there is no API.

    Args:
        aws: The account and region.
        stage: The stage that the API serves.
        recorded_id: ID from a record. If that API no longer exists, the account is searched.

    Raises:
        OperatorError: Several APIs serve the stage.
    """
    gateway = aws.client("apigateway")
    if recorded_id and _get_or_none(gateway.get_rest_api, restApiId=recorded_id):
        return recorded_id
    api_ids = list(_apis_of_stage(gateway, stage))
    if len(api_ids) > 1:
        # An API that was never deployed serves no requests.
        api_ids = [api_id for api_id in api_ids if _is_deployed(gateway, stage, api_id)] or [
            api_ids[0]
        ]
    if len(api_ids) > 1:
        raise OperatorError(
            f"The APIs {', '.join(api_ids)} all serve stage {stage.name}. Delete the APIs that "
            "TaskRouter does not call: aws apigateway delete-rest-api --rest-api-id ID"
        )
    return api_ids[0] if api_ids else None


def invoke_url(aws: Aws, stage: Stage, api_id: str) -> str:
    """Return the invoke URL of the API's stage, without a trailing slash."""
    suffix = "amazonaws.com.cn" if aws.partition == "aws-cn" else "amazonaws.com"
    return f"https://{api_id}.execute-api.{aws.region}.{suffix}/{stage.name}"


def _apis_of_stage(gateway: Any, stage: Stage) -> Iterator[str]:
    # Chalice gives the APIs of all stages the same name, but each API calls a different function.
    function = f":function:{stage.function(API)}/"
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api_id in [api["id"] for api in page.get("items", []) if api["name"] == stage.app]:
            resources = gateway.get_resources(restApiId=api_id, embed=["methods"], limit=500)
            methods = [
                method
                for resource in resources.get("items", [])
                for method in resource.get("resourceMethods", {}).values()
            ]
            if any(
                function in item.get("methodIntegration", {}).get("uri", "") for item in methods
            ):
                yield api_id


def _is_deployed(gateway: Any, stage: Stage, api_id: str) -> bool:
    stages = gateway.get_stages(restApiId=api_id).get("item", [])
    return stage.name in [item["stageName"] for item in stages]


def list_resources(aws: Aws, stage: Stage, *, recorded_api_id: str | None) -> list[dict[str, Any]]:
    """List the resources that Chalice created, in the format of its record.

    Args:
        aws: The account and region.
        stage: The stage that the functions and the API belong to.
        recorded_api_id: See `find_api_id`.

    Raises:
        OperatorError: The functions were not created by Chalice, or several APIs serve the stage.
    """
    ensure_created_by_chalice(aws, stage)
    resources: list[dict[str, Any]] = []
    for handler in (API, SWEEP):
        resources += _function_entries(aws, stage, handler)
    if _get_or_none(aws.client("events").describe_rule, Name=stage.schedule):
        resources.append(_entry(f"{SWEEP}-event", "cloudwatch_event", rule_name=stage.schedule))
    if api_id := find_api_id(aws, stage, recorded_id=recorded_api_id):
        url = f"{invoke_url(aws, stage, api_id)}/"
        resources.append(_entry("rest_api", "rest_api", rest_api_id=api_id, rest_api_url=url))
        resources += _domain_entries(aws, stage, api_id)
    return resources


def _function_entries(aws: Aws, stage: Stage, handler: str) -> Iterator[dict[str, str]]:
    function, roles = _find_function(aws, stage, handler), {f"{handler}_role": stage.role(handler)}
    if function and _role_name(function) == _generated_role(stage):
        roles["default-role"] = _generated_role(stage)
    for entry_name, role_name in roles.items():
        if role := _get_or_none(aws.client("iam").get_role, RoleName=role_name):
            arn = role["Role"]["Arn"]
            yield _entry(entry_name, "iam_role", role_name=role_name, role_arn=arn)
    if function:
        yield _entry(handler, "lambda_function", lambda_arn=function["FunctionArn"])


def _domain_entries(aws: Aws, stage: Stage, api_id: str) -> Iterator[dict[str, Any]]:
    mappings = _base_path_mappings(aws, stage.domain) if stage.domain else []
    paths = [{"key": f"/{path}"} for path, mapped_id in mappings if mapped_id == api_id]
    if paths:
        entry = _entry("api_gateway_custom_domain", "domain_name", domain_name=str(stage.domain))
        yield {**entry, "api_mapping": paths}


def _entry(name: str, resource_type: str, **values: str) -> dict[str, str]:
    return {"name": name, "resource_type": resource_type, **values}


def _base_path_mappings(aws: Aws, domain: str) -> list[tuple[str, str]]:
    """Return the base paths of a domain, each with the ID of its API."""
    get_mappings = aws.client("apigateway").get_base_path_mappings
    items = (_get_or_none(get_mappings, domainName=domain) or {}).get("items", [])
    return [(item["basePath"].replace("(none)", ""), item["restApiId"]) for item in items]


def exists(aws: Aws, entry: dict[str, Any]) -> bool:
    """Return whether a recorded resource exists, or True if its type is unknown."""
    match entry["resource_type"]:
        case "lambda_function":
            get_function = aws.client("lambda").get_function_configuration
            resource = _get_or_none(get_function, FunctionName=entry["lambda_arn"])
        case "iam_role":
            resource = _get_or_none(aws.client("iam").get_role, RoleName=entry["role_name"])
        case "cloudwatch_event":
            describe_rule = aws.client("events").describe_rule
            resource = _get_or_none(describe_rule, Name=entry["rule_name"])
        case "rest_api":
            get_api = aws.client("apigateway").get_rest_api
            resource = _get_or_none(get_api, restApiId=entry["rest_api_id"])
        case "domain_name":
            get_domain = aws.client("apigateway").get_domain_name
            resource = _get_or_none(get_domain, domainName=entry["domain_name"])
        case _:
            return True
    return resource is not None


def ensure_domain_not_shared(aws: Aws, domain: str, api_id: str | None) -> None:
    """Check that no other API uses a domain that would be deleted.

    Raises:
        OperatorError: The domain has a base path that maps to an API other than *api_id*.
    """
    others = sorted({mapped_id for _, mapped_id in _base_path_mappings(aws, domain)} - {api_id})
    if others:
        raise OperatorError(
            f"The domain {domain} is also mapped to other APIs ({', '.join(others)}), and Chalice "
            "would delete the whole domain. Move those APIs to a different domain first."
        )


def ensure_same_region(aws: Aws, stage: Stage) -> None:
    """Check that a stage is not deployed in another region.

    Role names are unique within an account, so one stage cannot be in two regions.

    Raises:
        OperatorError: A role of the stage belongs to another region.
    """
    for handler in (API, SWEEP):
        if _role_belongs_to_another_region(aws, stage, handler):
            raise OperatorError(
                f"The role {stage.role(handler)} belongs to stage {stage.name} in a region other "
                f"than {aws.region}. Select that region (export AWS_DEFAULT_REGION=...), or deploy "
                f"a stage with a different name to {aws.region}."
            )


def _role_belongs_to_another_region(aws: Aws, stage: Stage, handler: str) -> bool:
    policy = _role_policy(aws, stage, handler)
    if policy is None:
        return False
    # Earlier versions rendered the region into the policy. Current policies contain * instead.
    if regions := re.findall(r":dynamodb:([\w-]+):", policy):
        return aws.region not in regions
    # A role exists only while its stage has a stack. If this region has neither the stack nor the
    # function, the role therefore belongs to another region.
    return not _find_function(aws, stage, handler) and not stacks.exists(aws, stage)


def _role_policy(aws: Aws, stage: Stage, handler: str) -> str | None:
    name = stage.role(handler)
    policy = _get_or_none(aws.client("iam").get_role_policy, RoleName=name, PolicyName=name)
    return json.dumps(policy["PolicyDocument"], sort_keys=True) if policy else None


def describe_versions(aws: Aws, stage: Stage, api_id: str) -> dict[str, Any]:
    """Return values that change when a deployed part of a stage changes.

    The parts are the stack, the functions with their roles' policies and their resource policies,
    the retry settings of the sweep, the schedule with its targets, the API's stage and the base
    paths of the custom domain.
    """
    gateway, events = aws.client("apigateway"), aws.client("events")
    versions: dict[str, Any] = {"stack": stacks.last_change(aws, stage)}
    for handler in (API, SWEEP):
        function = _find_function(aws, stage, handler) or {}
        versions[f"{handler} function"] = [
            function.get(key) for key in ("CodeSha256", "LastModified", "Role")
        ]
        versions[f"{handler} policy"] = _role_policy(aws, stage, handler)
        versions[f"{handler} callers"] = _resource_policy(aws, stage, handler)
    versions["retries"] = _sweep_retries(aws, stage)
    rule = _get_or_none(events.describe_rule, Name=stage.schedule) or {}
    versions["schedule"] = [rule.get(key) for key in ("State", "ScheduleExpression")]
    targets = _get_or_none(events.list_targets_by_rule, Rule=stage.schedule) or {}
    versions["targets"] = sorted(targets.get("Targets", []), key=lambda target: str(target["Id"]))
    api = _get_or_none(gateway.get_stage, restApiId=api_id, stageName=stage.name) or {}
    updated = api.get("lastUpdatedDate")
    # Use the timestamp, which is the same on every machine. botocore returns the time in this
    # machine's time zone.
    versions["api"] = [api_id, api.get("deploymentId"), updated and updated.timestamp()]
    versions["domain"] = _base_path_mappings(aws, stage.domain) if stage.domain else []
    return versions


def _resource_policy(aws: Aws, stage: Stage, handler: str) -> list[str] | None:
    """Return the resource policy statements that allow services to call a function."""
    get_policy = aws.client("lambda").get_policy
    policy = _get_or_none(get_policy, FunctionName=stage.function(handler))
    if policy is None:
        return None
    statements = json.loads(policy["Policy"])["Statement"]
    return sorted(json.dumps(statement, sort_keys=True) for statement in statements)


def _sweep_retries(aws: Aws, stage: Stage) -> list[Any]:
    get_config = aws.client("lambda").get_function_event_invoke_config
    retries = _get_or_none(get_config, FunctionName=stage.function(SWEEP)) or {}
    return [retries.get(key) for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")]


def has_function(aws: Aws, stage: Stage) -> bool:
    """Return whether the function of the stage's API exists."""
    return _find_function(aws, stage, API) is not None


def find_foreign_function(aws: Aws, stage: Stage) -> dict[str, Any] | None:
    """Return one of the stage's functions that Chalice did not create, or None."""
    for handler in (API, SWEEP):
        function = _find_function(aws, stage, handler)
        if function and not _created_by_chalice(function, stage, handler):
            return dict(function)
    return None


def ensure_created_by_chalice(aws: Aws, stage: Stage) -> None:
    """Check that no other tool created the functions of a stage.

    Raises:
        OperatorError: A function was not created by Chalice.
    """
    if function := find_foreign_function(aws, stage):
        raise OperatorError(
            f"The function {function['FunctionName']} was not created by Chalice: its role is "
            f"{function['Role']}. If CloudFormation created it, keep deploying with "
            "CloudFormation. Do not mix the two methods on one stage. If Chalice created it with "
            "a role of your own, delete the function (aws lambda delete-function --function-name "
            f"{function['FunctionName']}), and run: python -m infra deploy --stage {stage.name}"
        )


def ensure_not_created_by_chalice(aws: Aws, stage: Stage) -> None:
    """Check that Chalice did not create a stage that is to be packaged for CloudFormation.

    Raises:
        OperatorError: Chalice created the function of the stage's API.
    """
    function = _find_function(aws, stage, API)
    if function and _created_by_chalice(function, stage, API):
        raise OperatorError(
            f"Stage {stage.name} was created by Chalice, and CloudFormation can't create functions "
            "that already exist. Destroy the stage first, or keep deploying it: python -m infra "
            f"deploy --stage {stage.name}"
        )


def _find_function(aws: Aws, stage: Stage, handler: str) -> Any:
    get_function = aws.client("lambda").get_function_configuration
    return _get_or_none(get_function, FunctionName=stage.function(handler))


def _created_by_chalice(function: dict[str, Any], stage: Stage, handler: str) -> bool:
    """Return whether Chalice created the function."""
    # CloudFormation gives the role a different name.
    return _role_name(function) in (stage.role(handler), _generated_role(stage))


def _role_name(function: dict[str, Any]) -> str:
    return str(function["Role"]).rpartition("/")[2]


def _generated_role(stage: Stage) -> str:
    """Return the name that Chalice gives to a role with a generated policy (autogen_policy)."""
    return f"{stage.app}-{stage.name}"


def _get_or_none(call: Callable[..., Any], **arguments: str) -> Any:
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_FOUND:
            return None
        raise
