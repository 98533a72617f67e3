"""API and retry settings that Chalice cannot configure.

These are the throttles, metrics, tracing and gateway responses of the API, and the retries of the
sweep. Both deployment methods use them: `apply` sets them after ``chalice deploy``, and
`merged_template` returns the template that ``chalice package`` merges into its own.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from infra.aws import Aws
from infra.aws.stage_config import API, SWEEP, Stage


@dataclass(frozen=True)
class Throttle:
    """An API Gateway throttle.

    Attributes:
        rate: Steady-state limit, in requests per second.
        burst: Maximum number of concurrent requests (the capacity of the token bucket).
    """

    rate: float
    burst: int


# Clients other than Twilio, such as polling pages, get a small share of the account's API Gateway
# quota, to leave capacity for callbacks. In some regions, the burst quota is only 1,250.
DEFAULT_THROTTLE = Throttle(rate=50, burst=100)
CALLBACK_THROTTLE = Throttle(rate=1_000, burst=1_000)

SWEEP_RETRIES = 0
"""A failed sweep is not retried, because the next sweep starts within a minute."""

SWEEP_MAX_AGE_SECONDS = 60
"""Time after which Lambda drops a throttled sweep. The default is six hours."""


def _method_throttles(stage: Stage) -> list[tuple[str, str, Throttle]]:
    """Return the path, method and throttle of each method setting in API Gateway.

    Method settings inherit nothing from ``*``. A setting's path is a slash followed by the resource
    path, in which every slash is encoded as ``~1``.
    """
    # Only deployments need the whole app.
    from app import app  # noqa: PLC0415
    from chalicelib.routes.callbacks import twilio_routes  # noqa: PLC0415

    callbacks = [
        ("/" + f"{prefix}{path}".replace("/", "~1"), method)
        for prefix in stage.settings.callback_prefixes
        for path, method in twilio_routes(app)
    ]
    return [("/*", "*", DEFAULT_THROTTLE), *((*route, CALLBACK_THROTTLE) for route in callbacks)]


@dataclass(frozen=True)
class GatewayResponse:
    """A response that API Gateway sends without calling the app.

    Attributes:
        code: `Code` in the body; None for API Gateway's response type.
        message: `Message` in the body; None for API Gateway's message.
        status: HTTP status; None for API Gateway's status.
        headers: Header values by name.
    """

    code: str | None = None
    message: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The mapping template; ``messageString`` already includes quotation marks."""
        code = json.dumps(self.code) if self.code else '"$context.error.responseType"'
        message = json.dumps(self.message) if self.message else "$context.error.messageString"
        return f'{{"Code": {code}, "Message": {message}}}'

    def header_expressions(self, stage: Stage) -> dict[str, str]:
        """Return the headers as API Gateway expressions, with literals in quotation marks.

        The CORS origin allowed to read the app's responses can also read these responses.
        """
        headers = dict(self.headers)
        if stage.settings.cors_allow_origin:
            headers["Access-Control-Allow-Origin"] = stage.settings.cors_allow_origin
        return {name: f"'{value}'" for name, value in headers.items()}


GATEWAY_RESPONSES = {
    # API Gateway returns this response type for unknown routes, by default with status 403.
    "MISSING_AUTHENTICATION_TOKEN": GatewayResponse(
        "RouteNotFound",
        "No route has this path and method. Paths begin with the name of the API's stage.",
        404,
    ),
    "THROTTLED": GatewayResponse(
        "TooManyRequests", "Too many requests. Retry in a second.", 429, {"Retry-After": "1"}
    ),
    "DEFAULT_4XX": GatewayResponse(),
    "DEFAULT_5XX": GatewayResponse(),
}


def apply(aws: Aws, stage: Stage, rest_api_id: str) -> None:
    """Apply the settings to a stage that Chalice deployed."""
    _put_gateway_responses(aws, stage, rest_api_id)
    operations = [{"op": "replace", "path": "/tracingEnabled", "value": "true"}]
    for path, method, throttle in _method_throttles(stage):
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
        restApiId=rest_api_id, stageName=stage.name, patchOperations=operations
    )
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=stage.function(SWEEP),
        MaximumRetryAttempts=SWEEP_RETRIES,
        MaximumEventAgeInSeconds=SWEEP_MAX_AGE_SECONDS,
    )


def _put_gateway_responses(aws: Aws, stage: Stage, rest_api_id: str) -> None:
    """Set the gateway responses and deploy the API.

    Every Chalice deployment overwrites the gateway responses.
    """
    gateway = aws.client("apigateway")
    for response_type, response in GATEWAY_RESPONSES.items():
        status = {"statusCode": str(response.status)} if response.status else {}
        gateway.put_gateway_response(
            restApiId=rest_api_id,
            responseType=response_type,
            responseTemplates={"application/json": response.body},
            responseParameters={
                f"gatewayresponse.header.{name}": value
                for name, value in response.header_expressions(stage).items()
            },
            **status,
        )
    gateway.create_deployment(restApiId=rest_api_id, stageName=stage.name, tracingEnabled=True)


def merged_template(stage: Stage) -> dict[str, Any]:
    """Return the SAM template that ``chalice package`` merges into its own template.

    The functions get the same names as with ``chalice deploy``, because log groups and alarms use
    those names.
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
                    # Without this property, SAM adds a second stage that lacks these settings.
                    "OpenApiVersion": "2.0",
                    "TracingEnabled": True,
                    "GatewayResponses": _sam_gateway_responses(stage),
                    "MethodSettings": [
                        {
                            "ResourcePath": path,
                            "HttpMethod": method,
                            "MetricsEnabled": True,
                            "ThrottlingRateLimit": throttle.rate,
                            "ThrottlingBurstLimit": throttle.burst,
                        }
                        for path, method, throttle in _method_throttles(stage)
                    ],
                }
            },
        }
    }


def _sam_gateway_responses(stage: Stage) -> dict[str, Any]:
    return {
        response_type: {
            "ResponseTemplates": {"application/json": response.body},
            "ResponseParameters": {"Headers": response.header_expressions(stage)},
            **({"StatusCode": response.status} if response.status else {}),
        }
        for response_type, response in GATEWAY_RESPONSES.items()
    }
