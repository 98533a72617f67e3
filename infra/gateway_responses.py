"""What API Gateway answers itself, before any function is asked, in the shape of our own errors.

One table says it for both ways to deploy: `apply` after `chalice deploy`, `merged` for
`chalice package`.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from infra.aws import Aws
from infra.declared import Stage


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


def apply(aws: Aws, stage: Stage, rest_api_id: str) -> None:
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
