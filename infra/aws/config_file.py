"""Checks the members of .chalice/config.json: names, types and values, and that none is a secret.

Chalice ignores unknown members, and fails with a traceback, or only after it has changed resources,
if a member has a wrong type or value.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from chalice.config import Config as ChaliceConfig

from chalicelib.config import Settings, is_base_url
from infra import OperatorError
from infra.aws import describe_wrong_variable

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
    shown = ", ".join(f'"{choice}"' for choice in choices)
    expected = f"one of the strings {shown}" if len(choices) > 1 else f"the string {shown}"
    return _Type(expected, lambda value: value in choices)


def _text(example: str, pattern: str = r"[\s\S]*\S[\s\S]*") -> _Type:
    return _Type(
        f'a string, for example "{example}"',
        lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None,
    )


def _texts(example: str, pattern: str, *, maximum: int) -> _Type:
    """A list of strings, whose maximum length is a quota of Lambda."""
    return _Type(
        f'a list of strings (at most {maximum}), for example ["{example}"]',
        lambda value: (
            isinstance(value, list)
            and len(value) <= maximum
            and all(isinstance(item, str) and re.fullmatch(pattern, item) for item in value)
        ),
    )


_BOOLEAN = _Type("true or false", lambda value: isinstance(value, bool))
_OBJECT = _Type("an object", lambda value: isinstance(value, dict))
_TAGS = _Type('an object of strings, for example {"team": "support"}', _OBJECT.accepts)
_VARIABLES = _Type('an object of strings, for example {"RETENTION_DAYS": "30"}', _OBJECT.accepts)

_ENDPOINT_ID = "vpce-[0-9a-f]+"
_ENDPOINTS = _Type(
    'a string or a list of strings, for example "vpce-0123456789abcdef0"',
    lambda value: all(
        isinstance(item, str) and re.fullmatch(_ENDPOINT_ID, item)
        for item in (value if isinstance(value, list) else [value])
    ),
)

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1_096, 1_827, 2_192, 2_557, 2_922, 3_288, 3_653),
)
_RETENTION = _Type(
    f"one of the numbers that CloudWatch allows: {', '.join(map(str, _RETENTION_DAYS))}",
    lambda value: type(value) is int and value in _RETENTION_DAYS,
)

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
_TAG_NAME = re.compile(r"(?!aws:)[\w +\-=.:/@]{1,128}", re.IGNORECASE)
_TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")
_MAX_TAGS = 49  # of Lambda's 50, because Chalice adds a tag

_Members = Mapping[str, "_Type | _Members"]

_INHERITED: _Members = {
    "autogen_policy": _BOOLEAN,
    "iam_policy_file": _text("policies/dev-sweep.json"),
    "iam_role_arn": _text("arn:aws:iam::123456789012:role/own", r"arn:[\w-]+:iam::\d+:role/\S+"),
    "lambda_memory_size": _whole_number(128, 10_240),
    "lambda_timeout": _whole_number(1, 900),
    "layers": _texts(
        "arn:aws:lambda:eu-west-1:123456789012:layer:own:1",
        r"arn:[\w-]+:lambda:[a-z0-9-]+:\d+:layer:[\w-]+:\d+",
        maximum=5,
    ),
    "log_retention_in_days": _RETENTION,
    "manage_iam_role": _BOOLEAN,
    "reserved_concurrency": _whole_number(0, 1_000_000),
    "security_group_ids": _texts("sg-0123456789abcdef0", "sg-[0-9a-f]+", maximum=5),
    "subnet_ids": _texts("subnet-0123456789abcdef0", "subnet-[0-9a-f]+", maximum=16),
    "xray": _BOOLEAN,
}
"""Members that Chalice looks up in the function, then in the stage, then at the top level."""

_FUNCTION: _Members = {**_INHERITED, "environment_variables": _VARIABLES, "tags": _TAGS}

_DOMAIN: _Members = {
    "domain_name": _text("calls.example.com", r"([A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}"),
    "certificate_arn": _text(
        "arn:aws:acm:eu-west-1:123456789012:certificate/ID",
        r"arn:[\w-]+:acm:[a-z0-9-]+:\d+:certificate/\S+",
    ),
    "tls_version": _one_of("TLS_1_0", "TLS_1_2"),  # API Gateway refuses Chalice's TLS_1_1
    "url_prefix": _text("taskrouter", r"[A-Za-z0-9$_.+!*'()/-]*"),
    "tags": _TAGS,
}

_STAGE: _Members = {
    **_FUNCTION,
    "access_logs": _BOOLEAN,
    "api_gateway_custom_domain": _DOMAIN,
    "api_gateway_endpoint_type": _one_of("EDGE", "REGIONAL", "PRIVATE"),
    "api_gateway_endpoint_vpce": _ENDPOINTS,
    "api_gateway_policy_file": _text("api-policy.json"),
    "api_gateway_stage": _text("dev"),
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
    "profile": _text("default"),
    "stages": _OBJECT,
    "version": _one_of("2.0"),
}

_LEVELS = {"the stage": _STAGE, "the top level of the file": _PROJECT}

_SETTINGS = {field.name.upper(): field for field in fields(Settings)}
_IN_PARAMETER = {name for name, field in _SETTINGS.items() if field.metadata["in_parameter"]}

_WITH_SECRET = [
    name
    for name, field in _SETTINGS.items()
    if not field.repr and not field.metadata["in_parameter"]
]
"""The settings whose secret values belong in the file (ADR 25)."""

_SECRETS_REMEDY = (
    "Store the secrets of a deployed stage with python -m infra secrets put, and export those of "
    "your own machine in the shell."
)

_OTHER_VARIABLES = re.compile(
    "AWS_[A-Z0-9_]+|PYTHON[A-Z0-9_]+|LANG|LC_[A-Z]+|TZ|PATH|LD_LIBRARY_PATH|HTTPS?_PROXY|NO_PROXY|SSL_CERT_(FILE|DIR)"
    "|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SETTINGS_DEFAULTS"
)
"""Variables that boto3, Python, requests or the C library read, and the local stage's variable."""

_PROXY = re.compile("HTTPS?_PROXY")

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


_PASSWORD_IN_URL = re.compile(r"//[^/\s:@]*:[^/\s@]+@")


def check(project: Mapping[str, Any], stage_name: str) -> None:
    """Check the members of the file that apply to a stage.

    Args:
        project: The parsed file, whose stages are objects.
        stage_name: A name under "stages".

    Raises:
        OperatorError: A member is unknown, has a wrong type or value, or is a secret. The message
            names the stage and the member, and contains no secret.
    """
    for problem in _find_problems(project, _PROJECT):
        raise invalid(stage_name, f"at the top level, {problem}")
    for problem in _find_problems(project["stages"][stage_name], _STAGE):
        raise invalid(stage_name, problem)


def check_combinations(project: Mapping[str, Any], stage_name: str) -> None:
    """Check members that depend on each other, as Chalice resolves them for each function.

    Chalice checks these members too, but only after the stack has been created.

    Raises:
        OperatorError: A member lacks its counterpart.
    """
    for handler in (API, SWEEP):
        members = ChaliceConfig(
            chalice_stage=stage_name, function_name=handler, config_from_disk=project
        )
        for problem in _find_wrong_combinations(members, handler):
            raise invalid(stage_name, problem)


def _find_wrong_combinations(members: ChaliceConfig, handler: str) -> Iterator[str]:
    if bool(members.subnet_ids) != bool(members.security_group_ids):
        yield f"subnet_ids and security_group_ids of {handler} must both be set, or neither."
    if members.manage_iam_role is False and not members.iam_role_arn:
        yield (
            f"iam_role_arn of {handler} must be set to the ARN of a role, because manage_iam_role "
            "is false."
        )
    is_private = members.api_gateway_endpoint_type == "PRIVATE"
    endpoints, file = members.api_gateway_endpoint_vpce, members.api_gateway_policy_file
    if endpoints and not is_private:
        yield "api_gateway_endpoint_vpce requires the api_gateway_endpoint_type PRIVATE."
    if is_private and bool(endpoints) == bool(file):
        yield (
            "the api_gateway_endpoint_type PRIVATE requires either api_gateway_endpoint_vpce or "
            "api_gateway_policy_file."
        )


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
        elif _looks_secret(member):
            yield _describe_secret(name)
        elif not expected.accepts(member):
            yield f"{name} must be {expected.expected}."
        elif expected is _VARIABLES:
            yield from _find_variable_problems(member, f" of {parent[:-1]}" if parent else "")
        elif expected is _TAGS:
            yield from _find_tag_problems(member, name)


def _looks_secret(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_looks_secret, value))
    return isinstance(value, str) and bool(_SECRETS.search(value) or _PASSWORD_IN_URL.search(value))


def _describe_secret(name: str) -> str:
    return (
        f"{name} is or looks like a secret, which does not belong in this file. Remove it. "
        f"{_SECRETS_REMEDY}"
    )


def _describe_unknown(name: str, key: str, members: _Members) -> str:
    for place, others in _LEVELS.items():
        if key in others:
            return f"{name} has no effect here. Move it to {place}."
    if key in _SETTINGS:
        return f"{name} is a setting. Move it to environment_variables."
    return f"{name} is unknown.{suggest(key.lower(), members)}"


def _find_variable_problems(variables: Mapping[str, Any], owner: str) -> Iterator[str]:
    for name, value in variables.items():
        if _SECRETS.search(name):
            yield _describe_secret(f"a name under environment_variables{owner}")
        elif name in _IN_PARAMETER or (not _may_be_secret(name) and _SECRETS.search(str(value))):
            yield _describe_secret(f"{name} under environment_variables{owner}")
        elif not isinstance(value, str):
            yield f"{name}{owner} must be {_string_like(value)}."
        elif _SET_BY_LAMBDA.fullmatch(name):
            yield f"{name}{owner} must not be set, because Lambda sets it."
        elif name not in _SETTINGS and not _OTHER_VARIABLES.fullmatch(name):
            yield (
                f"{name}{owner} is not a setting.{suggest(name.upper(), _SETTINGS)} See "
                "docs/settings.md."
            )
        elif problem := _describe_value(name, value):
            yield f"{name}{owner} {problem}."


def _may_be_secret(name: str) -> bool:
    """Return whether a variable, or the setting that it misspells, may have a secret value."""
    nearest = difflib.get_close_matches(name.upper(), _SETTINGS, n=1)
    return any(setting in _WITH_SECRET for setting in nearest)


def _describe_value(name: str, value: str) -> str | None:
    """Return what is wrong with the value of a known variable, without the value."""
    if _PASSWORD_IN_URL.search(value) or (_PROXY.fullmatch(name) and "@" in value):
        return (
            "must be a URL without a user name and a password, because everybody who reads this "
            "file or the function's settings could read them"
        )
    if _PROXY.fullmatch(name) and value and not is_base_url(value):
        return 'must be a URL, for example "http://proxy.example.com:3128"'
    return describe_wrong_variable(name, value)


def _find_tag_problems(tags: Mapping[str, Any], name: str) -> Iterator[str]:
    for tag, value in tags.items():
        if _SECRETS.search(tag):
            yield _describe_secret(f"a name under {name}")
        elif _looks_secret(value):
            yield _describe_secret(f"{name}.{tag}")
        elif not isinstance(value, str):
            yield f"{name}.{tag} must be {_string_like(value)}."
        elif not (_TAG_NAME.fullmatch(tag) and _TAG_VALUE.fullmatch(value)):
            yield (
                f"{name}.{tag} must be a tag that AWS allows: letters, digits, spaces and "
                "_ . : / = + - @, at most 128 in the name, which must not begin with aws:, and at "
                "most 256 in the value."
            )
    if len(tags) > _MAX_TAGS:
        yield f"{name} must have at most {_MAX_TAGS} members."


def _string_like(value: object) -> str:
    """Return the description of a string, with a number or a boolean as an example."""
    example = json.dumps(value)[:20] if isinstance(value, int | float) else "5"
    return f'a string, for example "{example}"'


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known name, or nothing if none is near."""
    nearest = difflib.get_close_matches(name, [*known], n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""
