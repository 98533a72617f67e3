"""What there is in AWS of a stage's functions and API, whatever any record says."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra.aws.session import Aws
from infra.aws.stage_config import API, SWEEP, Stage
from infra.errors import OperatorError

_ABSENT = ("ResourceNotFoundException", "NoSuchEntity", "NotFoundException")


def api(aws: Aws, stage: Stage, *, recorded: str | None = None) -> str | None:
    """Return the id of the stage's API, None where there is none.

    Args:
        aws: where.
        stage: whose API.
        recorded: what a record says it is. It is looked for if that is gone.

    Raises:
        OperatorError: there are several, which only people can tell apart.
    """
    gateway = aws.client("apigateway")
    if recorded and _unless_absent(gateway.get_rest_api, restApiId=recorded):
        return recorded
    found = list(_apis(gateway, stage))
    if len(found) > 1:
        # One that was never deployed serves nobody.
        found = [one for one in found if _serves(gateway, stage, one)] or found[:1]
    if len(found) > 1:
        raise OperatorError(
            f"The APIs {', '.join(found)} all serve stage {stage.name}. Delete those that "
            "TaskRouter does not call: aws apigateway delete-rest-api --rest-api-id ID"
        )
    return found[0] if found else None


def url(aws: Aws, stage: Stage, api_id: str) -> str:
    """Return the address that AWS gives an API's stage, without a slash at its end."""
    suffix = "amazonaws.com.cn" if aws.partition == "aws-cn" else "amazonaws.com"
    return f"https://{api_id}.execute-api.{aws.region}.{suffix}/{stage.api_stage}"


def _apis(gateway: Any, stage: Stage) -> Iterator[str]:
    # Chalice gives the APIs of all stages one name: it is the function that tells them apart.
    called = f":function:{stage.function(API)}/"
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api_id in [one["id"] for one in page.get("items", []) if one["name"] == stage.app]:
            resources = gateway.get_resources(restApiId=api_id, embed=["methods"], limit=500)
            methods = [
                method
                for resource in resources.get("items", [])
                for method in resource.get("resourceMethods", {}).values()
            ]
            if any(called in one.get("methodIntegration", {}).get("uri", "") for one in methods):
                yield api_id


def _serves(gateway: Any, stage: Stage, api_id: str) -> bool:
    stages = gateway.get_stages(restApiId=api_id).get("item", [])
    return stage.api_stage in [one["stageName"] for one in stages]


def resources(aws: Aws, stage: Stage, *, recorded_api: str | None) -> list[dict[str, Any]]:
    """List what Chalice has made, in the words of its own record.

    Args:
        aws: where.
        stage: whose functions and API.
        recorded_api: see `api`.

    Raises:
        OperatorError: it was CloudFormation that made the functions.
    """
    made: list[dict[str, Any]] = []
    for handler in (API, SWEEP):
        made += _of_handler(aws, stage, handler)
    if _unless_absent(aws.client("events").describe_rule, Name=stage.schedule):
        made.append(_entry(f"{SWEEP}-event", "cloudwatch_event", rule_name=stage.schedule))
    if api_id := api(aws, stage, recorded=recorded_api):
        address = f"{url(aws, stage, api_id)}/"
        made.append(_entry("rest_api", "rest_api", rest_api_id=api_id, rest_api_url=address))
        made += _of_domain(aws, stage, api_id)
    return made


def _of_domain(aws: Aws, stage: Stage, api_id: str) -> Iterator[dict[str, Any]]:
    mappings = _mappings(aws, stage.domain) if stage.domain else []
    ours = [{"key": f"/{path}"} for path, mapped in mappings if mapped == api_id]
    if ours:
        entry = _entry("api_gateway_custom_domain", "domain_name", domain_name=str(stage.domain))
        yield {**entry, "api_mapping": ours}


def _mappings(aws: Aws, domain: str) -> list[tuple[str, str]]:
    """List a domain's base paths, and the API that each leads to."""
    call = aws.client("apigateway").get_base_path_mappings
    items = (_unless_absent(call, domainName=domain) or {}).get("items", [])
    return [(one["basePath"].replace("(none)", ""), one["restApiId"]) for one in items]


def must_be_ours_alone(aws: Aws, domain: str, api_id: str | None) -> None:
    """Refuse to let Chalice delete a domain that leads to other APIs too: it deletes it whole.

    Raises:
        OperatorError: it does.
    """
    others = sorted({mapped for _, mapped in _mappings(aws, domain)} - {api_id})
    if others:
        raise OperatorError(
            f"The domain {domain} leads to other APIs too ({', '.join(others)}), and Chalice would "
            "delete it whole. Move those to a domain of their own first."
        )


def must_be_of_this_region(aws: Aws, stage: Stage) -> None:
    """Refuse to touch a stage that is in another region: its roles are the whole account's.

    Raises:
        OperatorError: the roles that are there are allowed another region's tables.
    """
    for handler in (API, SWEEP):
        name = stage.role(handler)
        call = aws.client("iam").get_role_policy
        policy = _unless_absent(call, RoleName=name, PolicyName=name)
        if policy and f":dynamodb:{aws.region}:" not in json.dumps(policy["PolicyDocument"]):
            raise OperatorError(
                f"The role {name} is that of stage {stage.name} in another region than "
                f"{aws.region}: export AWS_DEFAULT_REGION=... . A stage in a second region needs "
                "a name of its own."
            )


def must_not_be_chalices(aws: Aws, stage: Stage) -> None:
    """Refuse to package what Chalice has deployed; raises OperatorError."""
    function = _function(aws, stage, API)
    if function and _is_chalices(function, stage, API):
        raise OperatorError(
            f"Stage {stage.name} was made by Chalice: go on with python -m infra deploy, or "
            "destroy it first. CloudFormation can't make functions that are there."
        )


def _function(aws: Aws, stage: Stage, handler: str) -> Any:
    call = aws.client("lambda").get_function_configuration
    return _unless_absent(call, FunctionName=stage.function(handler))


def _is_chalices(function: dict[str, Any], stage: Stage, handler: str) -> bool:
    """Tell by the role: CloudFormation gives it a name of its own."""
    return bool(function["Role"].endswith(f"/{stage.role(handler)}"))


def _of_handler(aws: Aws, stage: Stage, handler: str) -> Iterator[dict[str, str]]:
    function, role_name = _function(aws, stage, handler), stage.role(handler)
    if function and not _is_chalices(function, stage, handler):
        raise OperatorError(
            f"The function {stage.function(handler)} was not made by Chalice: its role is "
            f"{function['Role']}. If CloudFormation made it, go on with that: never both ways on "
            "one stage."
        )
    if role := _unless_absent(aws.client("iam").get_role, RoleName=role_name):
        arn = role["Role"]["Arn"]
        yield _entry(f"{handler}_role", "iam_role", role_name=role_name, role_arn=arn)
    if function:
        yield _entry(handler, "lambda_function", lambda_arn=function["FunctionArn"])


def is_there(aws: Aws, entry: dict[str, Any]) -> bool:
    """Tell whether something that a record names is still there; what has no such name is."""
    match entry["resource_type"]:
        case "lambda_function":
            call = aws.client("lambda").get_function_configuration
            found = _unless_absent(call, FunctionName=entry["lambda_arn"])
        case "iam_role":
            found = _unless_absent(aws.client("iam").get_role, RoleName=entry["role_name"])
        case "cloudwatch_event":
            found = _unless_absent(aws.client("events").describe_rule, Name=entry["rule_name"])
        case "rest_api":
            call = aws.client("apigateway").get_rest_api
            found = _unless_absent(call, restApiId=entry["rest_api_id"])
        case "domain_name":
            call = aws.client("apigateway").get_domain_name
            found = _unless_absent(call, domainName=entry["domain_name"])
        case _:
            return True
    return found is not None


def _entry(name: str, kind: str, **values: str) -> dict[str, str]:
    return {"name": name, "resource_type": kind, **values}


def _unless_absent(call: Callable[..., Any], **arguments: str) -> Any:
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
