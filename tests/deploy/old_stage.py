"""A stage as deployed from commit 8aa3165, read from `fixtures/8aa3165/`.

The fixtures were made with the code of that commit:

- `deployed.json`: Chalice's record of a deployment to the emulator, as stored in S3.
- `functions.json`: the configuration of the functions in that deployment.
- `stage.json`: that commit's `infra/stage.yaml` as JSON, without descriptions.
- `items.json`: items that the app had stored in DynamoDB by `NOW`, by table and by label.
"""

import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures" / "8aa3165"
NOW = 1_790_000_020_000
"""Epoch ms at which the last item was stored."""

VERSION = "8aa3165"
"""The version that the old stage returns at /health."""

# The code of the old functions does not matter, because an upgrade replaces it.
OLD_CODE = f"""
def app(event, context):
    return {{"statusCode": 200, "headers": {{}}, "body": '{{"version": "{VERSION}"}}'}}


def sweep(event, context):
    pass
"""


def read(name):
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def shift(item, ms):
    """Return the item as if it had been stored *ms* milliseconds later."""
    shifted = _shift(item, ms)
    if "hour" in item:
        reserved_at = int(shifted["reserved_at"]["N"]) / 1000
        hour = datetime.fromtimestamp(reserved_at, UTC).strftime("%Y-%m-%dT%H")
        shifted["hour"] = {"S": hour}
    return shifted


def _shift(value, ms):
    match value:
        case {"N": text} if len(text) == len("1790000020000"):
            return {"N": str(int(text) + ms)}
        case {"N": text} if len(text) == len("1790000020"):
            return {"N": str(int(text) + ms // 1000)}
        case dict():
            return {name: _shift(item, ms) for name, item in value.items()}
        case list():
            return [_shift(item, ms) for item in value]
    return value


def create_resources(aws, stage):
    """Create the old stage's roles, functions, schedule and API; return the API's ID."""
    functions, record = read("functions.json"), read("deployed.json")["resources"]
    roles = [entry["role_name"] for entry in record if entry["resource_type"] == "iam_role"]
    for role in roles:
        aws.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    for function in functions:
        aws.client("lambda").create_function(**function, Code={"ZipFile": _zip(OLD_CODE)})
    (rule,) = [entry["rule_name"] for entry in record if entry["name"] == "sweep-event"]
    arns = {entry["name"]: entry["lambda_arn"] for entry in record if "lambda_arn" in entry}
    aws.client("events").put_rule(Name=rule, ScheduleExpression="rate(1 minute)")
    aws.client("events").put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arns["sweep"]}])
    return _create_api(aws, stage, arns["api_handler"])


def _zip(code):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("app.py", code)
    return buffer.getvalue()


def _create_api(aws, stage, function_arn):
    gateway = aws.client("apigateway")
    api_id = gateway.create_rest_api(name="taskrouter-callbacks")["id"]
    (root,) = gateway.get_resources(restApiId=api_id)["items"]
    health = gateway.create_resource(restApiId=api_id, parentId=root["id"], pathPart="health")
    method = {"restApiId": api_id, "resourceId": health["id"], "httpMethod": "GET"}
    gateway.put_method(**method, authorizationType="NONE")
    region = function_arn.split(":")[3]
    path = f"2015-03-31/functions/{function_arn}/invocations"
    gateway.put_integration(
        **method,
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{region}:lambda:path/{path}",
    )
    gateway.create_deployment(restApiId=api_id, stageName=stage)
    return api_id


def put_record(aws, bucket, stage, api_id):
    """Upload Chalice's old record with the ID of the API that the emulator created."""
    text = (FIXTURES / "deployed.json").read_text(encoding="utf-8")
    (api,) = [entry for entry in json.loads(text)["resources"] if entry["name"] == "rest_api"]
    body = text.replace(api["rest_api_id"], api_id)
    aws.client("s3").put_object(Bucket=bucket, Key=f"deployed/{stage}.json", Body=body)
