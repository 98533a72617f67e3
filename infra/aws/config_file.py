"""Checks the members of .chalice/config.json: their names, their types, and that none is a secret.

Chalice ignores unknown members, and fails with a traceback, or only after it has changed resources,
if a member has the wrong type.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from chalicelib.config import Settings
from infra import OperatorError

FILE = ".chalice/config.json"

APP_NAME = "taskrouter-callbacks"
"""The app's name, which infra/stage.yaml contains in the names of log groups and alarms."""

API = "api_handler"
SWEEP = "sweep"


@dataclass(frozen=True)
class _Type:
    expected: str
    accepts: Callable[[Any], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _whole_number(minimum: int, maximum: int) -> _Type:
    return _Type(
        f"a whole number from {minimum} to {maximum}",
        lambda value: type(value) is int and minimum <= value <= maximum,
    )


def _one_of(*choices: str) -> _Type:
    return _Type(f"the string {' or '.join(choices)}", lambda value: value in choices)


_TEXT = _Type("a string in quotation marks", _is_text)
_BOOLEAN = _Type("true or false", lambda value: isinstance(value, bool))
_TEXTS = _Type(
    "a list of strings", lambda value: isinstance(value, list) and all(map(_is_text, value))
)
_TAGS = _Type(
    "an object whose values are text",
    lambda value: isinstance(value, dict) and all(isinstance(tag, str) for tag in value.values()),
)
_OBJECT = _Type("an object", lambda value: isinstance(value, dict))
_VARIABLES = _Type("an object whose values are text", _OBJECT.accepts)
_ENDPOINTS = _Type(
    "a string or a list of strings", lambda value: _is_text(value) or _TEXTS.accepts(value)
)

_Members = Mapping[str, "_Type | _Members"]

_INHERITED: _Members = {
    "autogen_policy": _BOOLEAN,
    "iam_policy_file": _TEXT,
    "iam_role_arn": _TEXT,
    "lambda_memory_size": _whole_number(128, 10_240),
    "lambda_timeout": _whole_number(1, 900),
    "layers": _TEXTS,
    "log_retention_in_days": _whole_number(1, 3_653),
    "manage_iam_role": _BOOLEAN,
    "reserved_concurrency": _whole_number(0, 1_000_000),
    "security_group_ids": _TEXTS,
    "subnet_ids": _TEXTS,
    "xray": _BOOLEAN,
}
"""Members that Chalice looks up in the function, then in the stage, then at the top level."""

_FUNCTION: _Members = {**_INHERITED, "environment_variables": _VARIABLES, "tags": _TAGS}

_DOMAIN: _Members = {
    "domain_name": _TEXT,
    "certificate_arn": _TEXT,
    "tls_version": _TEXT,
    "url_prefix": _Type("a string in quotation marks", lambda value: isinstance(value, str)),
    "tags": _TAGS,
}

_STAGE: _Members = {
    **_FUNCTION,
    "access_logs": _BOOLEAN,
    "api_gateway_custom_domain": _DOMAIN,
    "api_gateway_endpoint_type": _one_of("EDGE", "REGIONAL", "PRIVATE"),
    "api_gateway_endpoint_vpce": _ENDPOINTS,
    "api_gateway_policy_file": _TEXT,
    "api_gateway_stage": _TEXT,
    "automatic_layer": _BOOLEAN,
    "lambda_architecture": _one_of("x86_64", "arm64"),
    "lambda_functions": {API: _FUNCTION, SWEEP: _FUNCTION},
    "minimum_compression_size": _whole_number(0, 10_485_760),
    "websocket_api_custom_domain": _DOMAIN,
}

_PROJECT: _Members = {
    **{name: expected for name, expected in _STAGE.items() if name != "access_logs"},
    "app_name": _one_of(APP_NAME),
    "lambda_functions": {API: _INHERITED, SWEEP: _INHERITED},
    "profile": _TEXT,
    "stages": _OBJECT,
    "version": _one_of("2.0"),
}

_LEVELS = {"the stage": _STAGE, "the top level of the file": _PROJECT}

_SETTINGS = {field.name.upper(): field for field in fields(Settings)}
_IN_PARAMETER = {name for name, field in _SETTINGS.items() if field.metadata["in_parameter"]}

_SECRETS_REMEDY = (
    "Store the secrets of a deployed stage with python -m infra secrets put, and export those of "
    "your own machine in the shell."
)

_OTHER_VARIABLES = re.compile(
    "AWS_.+|PYTHON.+|LANG|LC_.+|TZ|PATH|LD_LIBRARY_PATH|HTTPS?_PROXY|NO_PROXY|SSL_CERT_(FILE|DIR)"
    "|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SETTINGS_DEFAULTS"
)
"""Variables that boto3, Python, requests or the C library read, and the local stage's variable."""

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, "Reserved".
_SET_BY_LAMBDA = re.compile(
    "_HANDLER|_X_AMZN_TRACE_ID|AWS_(DEFAULT_)?REGION|AWS_EXECUTION_ENV|AWS_ACCESS_KEY(_ID)?"
    "|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|LAMBDA_(TASK_ROOT|RUNTIME_DIR)"
    "|AWS_LAMBDA_(FUNCTION_(NAME|MEMORY_SIZE|VERSION)|INITIALIZATION_TYPE|RUNTIME_API"
    "|LOG_(GROUP|STREAM)_NAME)"
)

_SECRETS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        [0-9a-fA-F]{32}                                          # an auth token; SIDs are longer
      | (?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)[A-Za-z0-9]{32}         # the secret of an API key
      | (?:AKIA|ASIA)[A-Z0-9]{16}                                # an AWS access key
      | eyJ[\w-]+\.[\w-]+\.[\w-]+                                # a JSON Web Token
    )(?![A-Za-z0-9])
    | ^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9/+]{40}$          # an AWS secret key
    | -----BEGIN                                                 # a private key
    """,
    re.VERBOSE,
)


def check(project: Mapping[str, Any], stage_name: str) -> None:
    """Check the members of the file that apply to a stage.

    Args:
        project: The parsed file, whose stages are objects.
        stage_name: A name under "stages".

    Raises:
        OperatorError: A member is unknown, has the wrong type or is a secret. The message names
            the stage and the member, and contains no value.
    """
    for problem in _find_problems(project, _PROJECT):
        raise invalid(stage_name, f"at the top level, {problem}")
    for problem in _find_problems(project["stages"][stage_name], _STAGE):
        raise invalid(stage_name, problem)


def invalid(stage_name: str, problem: object) -> OperatorError:
    """Return the error for a mistake in the declaration of a stage."""
    return OperatorError(f"Stage {stage_name} in {FILE}: {problem}")


def _find_problems(value: Mapping[str, Any], members: _Members, parent: str = "") -> Iterator[str]:
    for key, member in value.items():
        name, expected = f"{parent}{key}", members.get(key)
        if expected is None:
            yield _describe_unknown(name, key, members)
        elif not isinstance(expected, _Type):
            if isinstance(member, dict):
                yield from _find_problems(member, expected, f"{name}.")
            else:
                yield f"{name} must be an object."
        elif not expected.accepts(member):
            yield f"{name} must be {expected.expected}."
        elif expected is _VARIABLES:
            yield from _find_variable_problems(member, f" of {parent[:-1]}" if parent else "")


def _describe_unknown(name: str, key: str, members: _Members) -> str:
    for place, others in _LEVELS.items():
        if key in others:
            return f"{name} has no effect here. Move it to {place}."
    if key in _SETTINGS:
        return f"{name} is a setting. Move it to environment_variables."
    return f"{name} is unknown.{suggest(key.lower(), members)}"


def _find_variable_problems(variables: Mapping[str, Any], owner: str) -> Iterator[str]:
    for name, value in variables.items():
        if name in _IN_PARAMETER or any(_SECRETS.search(str(text)) for text in (name, value)):
            shown = "a name" if _SECRETS.search(name) else name
            yield (
                f"{shown} under environment_variables{owner} is or looks like a secret, which does "
                f"not belong in this file. Remove it. {_SECRETS_REMEDY}"
            )
        elif not isinstance(value, str):
            yield f"{name}{owner} must be a string in quotation marks."
        elif _SET_BY_LAMBDA.fullmatch(name):
            yield f"{name}{owner} must not be set, because Lambda sets it."
        elif name not in _SETTINGS and not _OTHER_VARIABLES.fullmatch(name):
            yield (
                f"{name}{owner} is not a setting.{suggest(name.upper(), _SETTINGS)} See "
                "docs/settings.md."
            )


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known name, or nothing if none is near."""
    nearest = difflib.get_close_matches(name, [*known], n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""
