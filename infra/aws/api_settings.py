"""API and retry settings that ``chalice deploy`` or ``chalice package`` cannot configure.

These are the throttles, metrics, tracing, access log and gateway responses of the API, and the
retries of the sweep. Both deployment methods use them: `apply` sets them after
``chalice deploy``, and `merged_template` returns the template that ``chalice package`` merges into
its own.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from infra import OperatorError
from infra.aws import Aws, capacity
from infra.aws.capacity import Throttle
from infra.aws.stage_config import API, SWEEP, Stage

if TYPE_CHECKING:
    from chalice.app import Chalice

_MEASURED_PATHS = ("/assignment_callback", "/assignment_callback/fallback")
"""Routes with metrics for alarms. The metrics of each method cost up to $1.50 a month."""

ACCEPT_PATH = "/reservations/{sid}/accept"

_ACTIVITIES = ("/activities", "GET")
_WEIGHTS = {ACCEPT_PATH: 2, "/activities": 0.5, "/activity": 0.5}
"""Weights for dividing executions among methods that wait for TaskRouter; 1 by default."""

_EVENT_PATH = "/event_callback"
_POLL_PATH = "/overview"
_FILE_PATH = "/console/{version}/{name}"
"""Route of the console's files, which browsers request once per version."""

_SIGN_IN_PATHS = ("/console/callback", "/console/sign-in")
"""Sign-in routes. If an identity provider is configured, both routes wait for the provider."""

_LOG_PATH = "/callbacks"
"""The route that waits for CloudWatch Logs."""

_SESSION_PATH = "/console/session"
_PAGE_PATHS = ("/console", _SESSION_PATH)
"""Routes that a console requests once, when its page is loaded."""

_SUPERVISOR_PATHS = ("/reservations/{sid}/signature", "/statistics")
"""Routes, other than `_LOG_PATH`, that read records and that only supervisors and services use."""

SWEEP_RETRIES = 0
"""A failed sweep is not retried, because the next sweep starts within a minute."""

SWEEP_MAX_AGE_SECONDS = 60
"""Time after which Lambda drops a throttled sweep. The default is six hours."""


@dataclass(frozen=True)
class _MethodSetting:
    path: str
    method: str
    throttle: Throttle
    measured: bool


def _method_settings(stage: Stage, concurrency: int) -> list[_MethodSetting]:
    """Return the settings of the API's methods. Method settings inherit nothing from ``*``."""
    # Only deployments need the whole app.
    from app import app  # noqa: PLC0415
    from chalicelib.routes.callbacks import twilio_routes  # noqa: PLC0415

    called_by_twilio = twilio_routes(app)
    throttles = {_EVENT_PATH: capacity.event_throttle(concurrency)}
    default = _MethodSetting("/*", "*", capacity.default_throttle(concurrency), measured=False)
    callbacks = [
        _MethodSetting(
            _encode(f"{prefix}{path}"),
            method,
            throttles.get(path, capacity.callback_throttle(concurrency)),
            measured=path in _MEASURED_PATHS,
        )
        for prefix in stage.settings.callback_prefixes
        for path, method in called_by_twilio
    ]
    agents = stage.settings.console_agents
    poll_throttle = capacity.console_throttle(concurrency, agents)
    page_throttle = capacity.page_throttle(concurrency, agents)
    file_throttle = replace(page_throttle, rate=poll_throttle.rate)
    pages = _PAGE_PATHS if stage.settings.oidc_issuer else (*_PAGE_PATHS, *_SIGN_IN_PATHS)
    console = [
        _MethodSetting(_encode(path), method, throttle, measured=False)
        for path, method, throttle in (
            (_POLL_PATH, "GET", poll_throttle),
            (_FILE_PATH, "GET", file_throttle),
            *((path, "GET", page_throttle) for path in pages),
            (_SESSION_PATH, "POST", page_throttle),
        )
    ]
    return [
        default,
        *console,
        *_supervisor_settings(concurrency),
        *callbacks,
        *_waiting_settings(app, called_by_twilio, stage, concurrency),
    ]


def _supervisor_settings(concurrency: int) -> list[_MethodSetting]:
    """Return the method settings of the routes that only supervisors and services use."""
    throttles = dict.fromkeys(_SUPERVISOR_PATHS, capacity.supervisor_throttle(concurrency))
    throttles[_LOG_PATH] = capacity.log_throttle(concurrency)
    return [
        _MethodSetting(_encode(path), method, throttle, measured=False)
        for path, throttle in throttles.items()
        for method in ("GET", "OPTIONS")
    ]


def _waiting_settings(
    app: "Chalice", excluded: Collection[tuple[str, str]], stage: Stage, concurrency: int
) -> list[_MethodSetting]:
    """Return the settings of the methods that may wait for TaskRouter or the identity provider."""
    # Most POST requests from clients change something in TaskRouter. On some of their paths, GET
    # requests do too, but the app accepts those only if TUTORIAL_ROUTES is true.
    changing = ("GET", "POST") if stage.settings.tutorial_routes else ("POST",)
    weights = {
        (path, method): _WEIGHTS.get(path, 1)
        for path, views in sorted(app.routes.items())
        for method in changing
        if "POST" in views
        and method in views
        and (path, method) not in excluded
        and path != _SESSION_PATH  # waits for neither TaskRouter nor the provider
    } | {_ACTIVITIES: _WEIGHTS["/activities"]}
    total = sum(weights.values())
    if stage.settings.oidc_issuer:
        # Both routes have the same throttle, so that every started sign-in can be completed.
        # The total includes only one of the weights, because the route that starts a sign-in does
        # not wait for TaskRouter.
        weights |= {(path, "GET"): 3 for path in _SIGN_IN_PATHS}
        total += 3
    return [
        _MethodSetting(
            _encode(path),
            method,
            capacity.waiting_throttle(concurrency, weight / total),
            measured=False,
        )
        for (path, method), weight in weights.items()
    ]


def find_throttle(stage: Stage, concurrency: int, path: str) -> Throttle:
    """Return the throttle of the path, or the default throttle if the path has none."""
    throttles = {each.path: each.throttle for each in _method_settings(stage, concurrency)}
    return throttles.get(_encode(path), throttles["/*"])


def describe_low_concurrency(aws: Aws, stage: Stage, concurrency: int) -> str | None:
    """Return a hint if low unreserved concurrency limits the callback rates; otherwise None.

    Args:
        aws: The account and region.
        stage: The stage.
        concurrency: See `capacity.read_concurrency`.
    """
    accept = find_throttle(stage, concurrency, ACCEPT_PATH)
    return capacity.describe_low_concurrency(aws, stage, concurrency, accept)


def _encode(path: str) -> str:
    """Return a setting's path: a slash, and the resource path with every slash as ``~1``."""
    return "/" + path.replace("/", "~1")


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
    # All methods share this response. Some throttles admit a request only every few seconds.
    "THROTTLED": GatewayResponse(
        "TooManyRequests",
        "Too many requests. Increase the wait before each retry.",
        429,
        {"Retry-After": "1"},
    ),
    "DEFAULT_4XX": GatewayResponse(),
    "DEFAULT_5XX": GatewayResponse(),
}


def ensure_access_logs_possible(aws: Aws, stage: Stage) -> None:
    """Check that API Gateway may write access logs, if the stage has access logs.

    Raises:
        OperatorError: The account has no role that lets API Gateway write to CloudWatch Logs.
    """
    if stage.access_logs and not aws.client("apigateway").get_account().get("cloudwatchRoleArn"):
        raise OperatorError(
            f"Stage {stage.name} sets access_logs, but API Gateway has no role for CloudWatch Logs "
            f"in account {aws.account}, {aws.region}. Set the role as described in "
            "docs/operations.md under 'Access logs'."
        )


def apply(aws: Aws, stage: Stage, rest_api_id: str) -> None:
    """Apply the settings to a stage that Chalice deployed."""
    _put_gateway_responses(aws, stage, rest_api_id)
    gateway = aws.client("apigateway")
    operations = [{"op": "replace", "path": "/tracingEnabled", "value": _text(stage.xray)}]
    for setting in _method_settings(stage, capacity.read_concurrency(aws, stage)):
        values = {
            "metrics/enabled": _text(setting.measured),
            "throttling/rateLimit": str(setting.throttle.rate),
            "throttling/burstLimit": str(setting.throttle.burst),
        }
        operations += [
            {"op": "replace", "path": f"{setting.path}/{setting.method}/{name}", "value": value}
            for name, value in values.items()
        ]
    current = gateway.get_stage(restApiId=rest_api_id, stageName=stage.name)
    gateway.update_stage(
        restApiId=rest_api_id,
        stageName=stage.name,
        patchOperations=operations + _access_log_operations(aws, stage, current),
    )
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=stage.function(SWEEP),
        MaximumRetryAttempts=SWEEP_RETRIES,
        MaximumEventAgeInSeconds=SWEEP_MAX_AGE_SECONDS,
    )


def _text(value: bool) -> str:  # noqa: FBT001  # API Gateway expects strings
    return "true" if value else "false"


def access_log_format(stage: Stage) -> str:
    """Return the format of the access log, without queries, headers, bodies or the SIDs in paths.

    If callback paths contain a secret, all routes are identified by API Gateway's resource IDs.
    """
    has_secrets = any(stage.settings.callback_prefixes)
    return json.dumps(
        {
            "time": "$context.requestTime",
            "request_id": "$context.requestId",
            "ip": "$context.identity.sourceIp",
            "method": "$context.httpMethod",
            "route": "$context.resourceId" if has_secrets else "$context.resourcePath",
            "status": "$context.status",
            "latency_ms": "$context.responseLatency",
            "refused_by_api_gateway": "$context.error.responseType",
        }
    )


def _access_log_operations(
    aws: Aws, stage: Stage, current: Mapping[str, Any]
) -> list[dict[str, str]]:
    if stage.access_logs:
        group = f"arn:{aws.partition}:logs:{aws.region}:{aws.account}:log-group:"
        values = {
            "destinationArn": f"{group}{stage.access_log_group}",
            "format": access_log_format(stage),
        }
        return [
            {"op": "replace", "path": f"/accessLogSettings/{name}", "value": value}
            for name, value in values.items()
        ]
    if current.get("accessLogSettings"):
        return [{"op": "remove", "path": "/accessLogSettings"}]
    return []


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
    gateway.create_deployment(
        restApiId=rest_api_id, stageName=stage.name, tracingEnabled=stage.xray
    )


def merged_template(stage: Stage, concurrency: int) -> dict[str, Any]:
    """Return the SAM template that ``chalice package`` merges into its own template.

    The functions get the same names as with ``chalice deploy``, because log groups and alarms use
    those names.

    Args:
        stage: The stage to package.
        concurrency: See `capacity.read_concurrency`.
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
                    "TracingEnabled": stage.xray,
                    "GatewayResponses": _sam_gateway_responses(stage),
                    "MethodSettings": [
                        {
                            "ResourcePath": setting.path,
                            "HttpMethod": setting.method,
                            "MetricsEnabled": setting.measured,
                            "ThrottlingRateLimit": setting.throttle.rate,
                            "ThrottlingBurstLimit": setting.throttle.burst,
                        }
                        for setting in _method_settings(stage, concurrency)
                    ],
                    **_sam_access_logs(stage),
                }
            },
        }
    }


def _sam_access_logs(stage: Stage) -> dict[str, Any]:
    if not stage.access_logs:
        return {}
    group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
    return {
        "AccessLogSetting": {
            "DestinationArn": {"Fn::Sub": f"{group}{stage.access_log_group}"},
            "Format": access_log_format(stage),
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
