"""What Chalice can't set: throttles, metrics, traces and own answers of the API; sweeps' retries.

One table says it, for both ways to deploy: `apply` after `chalice deploy`, `merged_template` for
`chalice package`.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from infra.aws.session import Aws
from infra.aws.stage_config import API, SWEEP, Stage

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Throttle:
    """Requests a second, and how many more at once."""

    rate: float
    burst: int


# The rest of the API (people, pages that poll) can use up only its own share of what the account
# may ask of API Gateway, so that callbacks find room. Some regions allow a burst of 1,250 only.
EVERYBODYS = Throttle(rate=50, burst=100)
CALLBACKS = Throttle(rate=1_000, burst=1_000)

SWEEP_RETRIES = 0
"""A failed sweep is over: the next one comes within the minute, and two at once help nobody."""

SWEEP_MAX_AGE_SECONDS = 60
"""One that Lambda throttles is over, too; else Lambda would hold it for six hours."""


def twilios() -> list[tuple[str, str]]:
    """List path and method of the routes that Twilio calls: those that take nothing but a form."""
    from app import app  # noqa: PLC0415  only what deploys needs the whole app

    return [
        (path, method)
        for path, methods in sorted(app.routes.items())
        for method, entry in methods.items()
        if entry.content_types == [_FORM]
    ]


def _methods() -> list[tuple[str, str, Throttle]]:
    """Name each path and method that is set; what is set for one inherits nothing from ``*``.

    API Gateway writes a path's slashes as ``~1``, after one that is a slash.
    """
    callbacks = [("/" + path.replace("/", "~1"), method) for path, method in twilios()]
    return [("/*", "*", EVERYBODYS), *((*callback, CALLBACKS) for callback in callbacks)]


def apply(aws: Aws, stage: Stage, rest_api_id: str) -> None:
    """Set all of it."""
    put_gateway_responses(aws, stage, rest_api_id)
    operations = [{"op": "replace", "path": "/tracingEnabled", "value": "true"}]
    for path, method, throttle in _methods():
        settings = {
            "metrics/enabled": "true",
            "throttling/rateLimit": str(throttle.rate),
            "throttling/burstLimit": str(throttle.burst),
        }
        operations += [
            {"op": "replace", "path": f"{path}/{method}/{name}", "value": value}
            for name, value in settings.items()
        ]
    aws.client("apigateway").update_stage(
        restApiId=rest_api_id, stageName=stage.api_stage, patchOperations=operations
    )
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=stage.function(SWEEP),
        MaximumRetryAttempts=SWEEP_RETRIES,
        MaximumEventAgeInSeconds=SWEEP_MAX_AGE_SECONDS,
    )


def merged_template(stage: Stage) -> dict[str, Any]:
    """Return what `chalice package --merge-template` is to add, in SAM's words.

    The functions get the names that `chalice deploy` gives them: logs and alarms go by these.
    """
    return {
        "Resources": {
            "APIHandler": {"Properties": {"FunctionName": stage.function(API)}},
            "Sweep": {
                "Properties": {
                    "FunctionName": stage.function(SWEEP),
                    "EventInvokeConfig": {
                        "MaximumRetryAttempts": SWEEP_RETRIES,
                        "MaximumEventAgeInSeconds": SWEEP_MAX_AGE_SECONDS,
                    },
                }
            },
            "RestAPI": {
                "Properties": {
                    # Else SAM makes a second stage, named Stage, that has none of this.
                    "OpenApiVersion": "2.0",
                    "TracingEnabled": True,
                    "GatewayResponses": merged(stage),
                    "MethodSettings": [
                        {
                            "ResourcePath": path,
                            "HttpMethod": method,
                            "MetricsEnabled": True,
                            "ThrottlingRateLimit": throttle.rate,
                            "ThrottlingBurstLimit": throttle.burst,
                        }
                        for path, method, throttle in _methods()
                    ],
                }
            },
        }
    }


@dataclass(frozen=True)
class Answer:
    """An answer of API Gateway's.

    Attributes:
        code: our Code for it; None for API Gateway's own name of the error.
        message: a sentence; None for API Gateway's.
        status: HTTP status; None for API Gateway's.
        headers: by name.
    """

    code: str | None = None
    message: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The mapping template; ``messageString`` comes with its quotation marks."""
        code = json.dumps(self.code) if self.code else '"$context.error.responseType"'
        message = json.dumps(self.message) if self.message else "$context.error.messageString"
        return f'{{"Code": {code}, "Message": {message}}}'


ANSWERS = {
    # API Gateway's own answer to a route that is not there is 403, as if a key were missing.
    "MISSING_AUTHENTICATION_TOKEN": Answer(
        "RouteNotFound",
        "There is no such route, or not with this method; the paths begin with the API's stage.",
        404,
    ),
    "THROTTLED": Answer(
        "TooManyRequests", "Too many requests; try again in a second.", 429, {"Retry-After": "1"}
    ),
    "DEFAULT_4XX": Answer(),
    "DEFAULT_5XX": Answer(),
}


def _headers(stage: Stage, answer: Answer) -> dict[str, str]:
    """Return headers as API Gateway wants them: what stands in quotation marks is meant as it is.

    A page of another origin may read them where it may read ours.
    """
    headers = dict(answer.headers)
    if stage.settings.cors_allow_origin:
        headers["Access-Control-Allow-Origin"] = stage.settings.cors_allow_origin
    return {name: f"'{value}'" for name, value in headers.items()}


def put_gateway_responses(aws: Aws, stage: Stage, rest_api_id: str) -> None:
    """Set them. Chalice overwrites the API each time, and they take effect with a deployment."""
    gateway = aws.client("apigateway")
    for kind, answer in ANSWERS.items():
        status = {"statusCode": str(answer.status)} if answer.status else {}
        gateway.put_gateway_response(
            restApiId=rest_api_id,
            responseType=kind,
            responseTemplates={"application/json": answer.body},
            responseParameters={
                f"gatewayresponse.header.{name}": value
                for name, value in _headers(stage, answer).items()
            },
            **status,
        )
    gateway.create_deployment(restApiId=rest_api_id, stageName=stage.api_stage, tracingEnabled=True)


def merged(stage: Stage) -> dict[str, Any]:
    """Return them in SAM's words."""
    return {
        kind: {
            "ResponseTemplates": {"application/json": answer.body},
            "ResponseParameters": {"Headers": _headers(stage, answer)},
            **({"StatusCode": answer.status} if answer.status else {}),
        }
        for kind, answer in ANSWERS.items()
    }
