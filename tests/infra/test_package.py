"""The template that `chalice package` creates for a stage."""

import json
import re
from types import SimpleNamespace

import pytest

from app import app
from chalicelib.routes.callbacks import twilio_routes
from chalicelib.routes.console import _console
from infra.aws import api_settings, stage_config, template
from tests.infra import templates
from tests.infra.packaging import REGION, package

DOMAIN = {
    "domain_name": "calls.example.com",
    "certificate_arn": f"arn:aws:acm:{REGION}:{'1' * 12}:certificate/example",
    "url_prefix": "/",
}


@pytest.fixture(scope="module", params=["dev", "prod"])
def packaged_stage(request, tmp_path_factory):
    return package(tmp_path_factory.mktemp("package"), request.param)


def test_template_is_valid_before_and_after_the_sam_transform(packaged_stage):
    assert packaged_stage.lint(packaged_stage.sam, packaged_stage.translated) == ""


def test_names_of_functions_and_log_groups_match_the_stage(packaged_stage):
    stage = packaged_stage.stage
    functions = packaged_stage.of_type("AWS::Lambda::Function").values()
    assert {function["FunctionName"] for function in functions} == {
        stage.function(stage_config.API),
        stage.function(stage_config.SWEEP),
    }
    groups = templates.of_type(template.read(), "AWS::Logs::LogGroup")
    assert {
        templates.with_stage(group["LogGroupName"], stage.name) for group in groups.values()
    } == {
        stage.log_group(stage_config.API),
        stage.log_group(stage_config.SWEEP),
        stage.access_log_group,
    }


def test_each_function_has_its_own_role_with_arns_for_any_account_and_region(packaged_stage):
    roles = packaged_stage.of_type("AWS::IAM::Role")
    # A merged or shared role would be named DefaultRole.
    assert roles.keys() == {"ApiHandlerRole", "SweepRole"}
    for role in roles.values():
        (policy,) = role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            resource = statement["Resource"]
            for arn in resource if isinstance(resource, list) else [resource]:
                assert isinstance(arn, str)
                if arn == "*":
                    assert all(action.startswith("xray:") for action in statement["Action"])
                else:
                    assert re.match(r"arn:\*:\w+:\*:\*:", arn)
                    assert "$" not in arn


def test_memory_and_timeouts_and_tracing_are_set(packaged_stage):
    functions = packaged_stage.of_type("AWS::Lambda::Function")
    api, sweep = functions["APIHandler"], functions["Sweep"]
    assert (api["MemorySize"], api["Timeout"]) == (1024, 29)
    assert packaged_stage.stage.settings.claim_lease_seconds > api["Timeout"]
    assert (sweep["MemorySize"], sweep["Timeout"]) == (512, 60)
    assert {function["TracingConfig"]["Mode"] for function in functions.values()} == {"Active"}
    (stage,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] is True
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    assert gateway["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_console_script_and_style_sheet_are_large_enough_for_compression(packaged_stage):
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    size = gateway["MinimumCompressionSize"]
    assert size == 10_240
    assert len(_console().files["console.js"]) > size
    assert len(_console().files["console.css"]) > size


def test_failed_sweep_is_not_retried_and_throttled_sweep_expires_after_a_minute(packaged_stage):
    (invoke_config,) = packaged_stage.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert invoke_config["FunctionName"] == {"Ref": "Sweep"}
    assert (invoke_config["MaximumRetryAttempts"], invoke_config["MaximumEventAgeInSeconds"]) == (
        0,
        60,
    )


def test_api_has_one_stage_with_the_name_of_the_deployed_stage(packaged_stage):
    (stage,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == packaged_stage.stage.name
    # Without OpenApiVersion, SAM creates a stage named Stage with each deployment.
    for deployment in packaged_stage.of_type("AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment


def test_throttles_are_above_the_default_for_twilio_and_below_it_for_expensive_methods(
    packaged_stage,
):
    (stage,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    rates = {
        (setting["ResourcePath"][1:].replace("~1", "/"), setting["HttpMethod"]): setting[
            "ThrottlingRateLimit"
        ]
        for setting in stage["MethodSettings"]
    }
    default = rates.pop(("*", "*"))
    lower = {method for method, rate in rates.items() if rate < default}

    console = {
        (path, method)
        for path, methods in app.routes.items()
        if path == "/overview" or path.startswith("/console")
        for method in methods.keys() - {"OPTIONS"}
    }
    assert rates.keys() - lower == {*twilio_routes(app), *console}
    assert lower == {
        ("/accept_reservation", "POST"),
        ("/activities", "GET"),
        ("/activity", "POST"),
        ("/callbacks", "GET"),
        ("/callbacks", "OPTIONS"),
        ("/create-task", "POST"),
        ("/reservations/{sid}/accept", "POST"),
        ("/reservations/{sid}/complete", "POST"),
        ("/reservations/{sid}/reject", "POST"),
        ("/reservations/{sid}/signature", "GET"),
        ("/reservations/{sid}/signature", "OPTIONS"),
        ("/statistics", "GET"),
        ("/statistics", "OPTIONS"),
    }
    assert all(rates[method] > default for method in twilio_routes(app))


def test_only_routes_with_alarms_have_paid_metrics(packaged_stage):
    (stage,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    alarms = templates.of_type(template.read(), "AWS::CloudWatch::Alarm").values()
    alarmed_paths = {
        templates.with_stage(dimension["Value"], "dev")
        for alarm in alarms
        if alarm["Namespace"] == "AWS/ApiGateway"
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "Resource"
    }
    assert {
        method["ResourcePath"][1:].replace("~1", "/")
        for method in stage["MethodSettings"]
        if method["MetricsEnabled"]
    } == alarmed_paths


def test_access_log_is_off_by_default_and_excludes_queries_and_headers_and_bodies(
    packaged_stage, stage_with_options
):
    (stage,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    assert "AccessLogSetting" not in stage

    (stage,) = stage_with_options.of_type("AWS::ApiGateway::Stage").values()
    destination = stage["AccessLogSetting"]["DestinationArn"]["Fn::Sub"]
    assert destination.endswith(f":log-group:{stage_with_options.stage.access_log_group}")
    variables = set(json.loads(stage["AccessLogSetting"]["Format"]).values())
    assert variables == {
        "$context.requestTime",
        "$context.requestId",
        "$context.identity.sourceIp",
        "$context.httpMethod",
        "$context.resourcePath",
        "$context.status",
        "$context.responseLatency",
        "$context.error.responseType",
    }


@pytest.mark.parametrize("prefixes", [("/secret",), ("", "/secret"), ("/secret", "")])
def test_access_log_does_not_contain_paths_with_secrets(prefixes):
    stage = SimpleNamespace(settings=SimpleNamespace(callback_prefixes=prefixes))

    log_format = json.loads(api_settings.access_log_format(stage))

    assert log_format["route"] == "$context.resourceId"
    assert not any(name in str(log_format) for name in ("Path", "path"))


def test_xray_key_turns_tracing_on_or_off(packaged_stage, stage_with_options):
    (traced,) = packaged_stage.of_type("AWS::ApiGateway::Stage").values()
    (untraced,) = stage_with_options.of_type("AWS::ApiGateway::Stage").values()
    assert (traced["TracingEnabled"], untraced["TracingEnabled"]) == (True, False)
    for function in stage_with_options.of_type("AWS::Lambda::Function").values():
        assert function.get("TracingConfig", {"Mode": "PassThrough"})["Mode"] == "PassThrough"


def test_twilio_routes_include_callbacks_and_exclude_json_routes():
    callbacks = {"/assignment_callback", "/assignment_callback/fallback", "/event_callback"}
    routes = {path for path, method in twilio_routes(app) if method == "POST"}
    assert callbacks <= routes
    # Routes for other clients also accept JSON, and are therefore excluded.
    assert not any(path.startswith(("/reservations", "/create-task")) for path in routes)


def test_gateway_responses_have_the_shape_of_the_apps_errors(packaged_stage):
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    responses = gateway["Body"]["x-amazon-apigateway-gateway-responses"]
    assert responses.keys() == api_settings.GATEWAY_RESPONSES.keys()
    for response in responses.values():
        text = response["responseTemplates"]["application/json"]
        filled = text.replace("$context.error.messageString", '"A message."')
        assert json.loads(filled).keys() == {"Code", "Message"}
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"
    assert responses["THROTTLED"]["responseParameters"] == {
        "gatewayresponse.header.Retry-After": "'1'"
    }


def test_function_environments_contain_no_secrets(packaged_stage):
    for function in packaged_stage.of_type("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        secrets = {"TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"}
        assert secrets.isdisjoint(variables)
        assert "SETTINGS_DEFAULTS" not in variables


def test_api_has_the_name_that_the_alarms_use(packaged_stage):
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    # Without a Name, API Gateway uses the title.
    assert gateway.get("Name", gateway["Body"]["info"]["title"]) == app.app_name


@pytest.fixture(scope="module")
def stage_with_options(tmp_path_factory):
    """A packaged stage with options that differ from the defaults."""

    def change(stage):
        stage["api_gateway_custom_domain"] = DOMAIN
        stage["environment_variables"] |= {
            "PUBLIC_BASE_URL": "https://calls.example.com",
            "CORS_ALLOW_ORIGIN": "https://app.example.com",
        }
        stage["lambda_functions"]["api_handler"]["reserved_concurrency"] = 50
        stage["access_logs"] = True
        stage["xray"] = False

    return package(tmp_path_factory.mktemp("package"), "prod", change)


def test_custom_domain_is_mapped_to_the_stage(stage_with_options):
    assert stage_with_options.lint(stage_with_options.translated) == ""
    (domain,) = stage_with_options.of_type("AWS::ApiGateway::DomainName").values()
    assert domain["DomainName"] == "calls.example.com"
    assert domain["RegionalCertificateArn"] == DOMAIN["certificate_arn"]
    (mapping,) = stage_with_options.of_type("AWS::ApiGateway::BasePathMapping").values()
    assert mapping["Stage"] in ("prod", {"Ref": "RestAPI.Stage"})


def test_concurrency_is_reserved_only_if_configured(stage_with_options, packaged_stage):
    function = stage_with_options.of_type("AWS::Lambda::Function")["APIHandler"]
    assert function["ReservedConcurrentExecutions"] == 50
    for default in packaged_stage.of_type("AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in default


def test_gateway_responses_allow_the_cors_origin(stage_with_options):
    (gateway,) = stage_with_options.of_type("AWS::ApiGateway::RestApi").values()
    for response in gateway["Body"]["x-amazon-apigateway-gateway-responses"].values():
        header = "gatewayresponse.header.Access-Control-Allow-Origin"
        assert response["responseParameters"][header] == "'https://app.example.com'"
