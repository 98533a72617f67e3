"""What `chalice package` makes of config.json, the policies and what we merge in."""

import json

import pytest

from app import app
from infra.aws import api_settings, stage_config
from tests.infra import templates
from tests.infra.packaging import REGION, package

DOMAIN = {
    "domain_name": "calls.example.com",
    "certificate_arn": f"arn:aws:acm:{REGION}:{'1' * 12}:certificate/of-ours",
    "url_prefix": "/",
}


@pytest.fixture(scope="module", params=["dev", "prod"])
def packaged(request, tmp_path_factory):
    return package(tmp_path_factory.mktemp("package"), request.param)


def test_the_template_is_valid_before_and_after_sams_transform(packaged):
    assert packaged.lint(packaged.sam, packaged.translated) == ""


def test_functions_have_the_names_that_logs_alarms_and_policies_go_by(packaged):
    stage = packaged.stage
    assert {one["FunctionName"] for one in packaged.of_type("AWS::Lambda::Function").values()} == {
        stage.function(stage_config.API),
        stage.function(stage_config.SWEEP),
    }
    groups = templates.of_type(templates.read("stage.yaml"), "AWS::Logs::LogGroup")
    assert {templates.with_stage(one["LogGroupName"], stage.name) for one in groups.values()} == {
        stage.log_group(stage_config.API),
        stage.log_group(stage_config.SWEEP),
    }


def test_every_function_has_a_role_of_its_own_with_plain_arns(packaged):
    roles = packaged.of_type("AWS::IAM::Role")
    # One that is merged in, or shared, would be called DefaultRole.
    assert roles.keys() == {"ApiHandlerRole", "SweepRole"}
    for role in roles.values():
        (policy,) = role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            listed = statement["Resource"]
            for arn in listed if isinstance(listed, list) else [listed]:
                assert isinstance(arn, str)
                if arn == "*":
                    assert all(action.startswith("xray:") for action in statement["Action"])
                else:
                    assert f":{REGION}:111111111111:" in arn
                    assert "$" not in arn


def test_memory_and_time_are_chosen_and_everything_is_traced(packaged):
    functions = packaged.of_type("AWS::Lambda::Function")
    api, sweep = functions["APIHandler"], functions["Sweep"]
    assert (api["MemorySize"], api["Timeout"]) == (1024, 29)
    assert packaged.stage.settings.claim_lease_seconds > api["Timeout"]
    assert (sweep["MemorySize"], sweep["Timeout"]) == (512, 60)
    assert {one["TracingConfig"]["Mode"] for one in functions.values()} == {"Active"}
    (stage,) = packaged.of_type("AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] is True
    (gateway,) = packaged.of_type("AWS::ApiGateway::RestApi").values()
    assert gateway["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_a_sweep_that_fails_or_finds_no_room_is_not_tried_again(packaged):
    (of_sweep,) = packaged.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert of_sweep["FunctionName"] == {"Ref": "Sweep"}
    assert (of_sweep["MaximumRetryAttempts"], of_sweep["MaximumEventAgeInSeconds"]) == (0, 60)


def test_the_api_has_one_stage_and_no_way_round_its_throttles(packaged):
    (stage,) = packaged.of_type("AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == packaged.stage.name
    # SAM makes a stage named Stage with each deployment, unless it is told the OpenAPI version.
    for deployment in packaged.of_type("AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment


def test_callbacks_have_more_room_than_the_rest_and_each_method_is_measured(packaged):
    (stage,) = packaged.of_type("AWS::ApiGateway::Stage").values()
    settings = {one["ResourcePath"]: one for one in stage["MethodSettings"]}
    everybodys = settings.pop("/*")
    assert {
        (path[1:].replace("~1", "/"), one["HttpMethod"]) for path, one in settings.items()
    } == set(api_settings.twilios())
    for one in settings.values():
        assert one["ThrottlingRateLimit"] > everybodys["ThrottlingRateLimit"]
        # What is set for a method inherits nothing.
        assert one["MetricsEnabled"]
    assert everybodys["MetricsEnabled"]


def test_the_routes_that_twilio_calls_are_those_that_it_is_told_of():
    callbacks = {"/assignment_callback", "/assignment_callback/fallback", "/event_callback"}
    found = {path for path, method in api_settings.twilios() if method == "POST"}
    assert callbacks <= found
    # What people and pages call takes JSON too.
    assert not any(path.startswith(("/reservations", "/create-task")) for path in found)


def test_api_gateways_own_answers_have_the_shape_of_ours(packaged):
    (gateway,) = packaged.of_type("AWS::ApiGateway::RestApi").values()
    answers = gateway["Body"]["x-amazon-apigateway-gateway-responses"]
    assert answers.keys() == api_settings.ANSWERS.keys()
    for answer in answers.values():
        text = answer["responseTemplates"]["application/json"]
        filled = text.replace("$context.error.messageString", '"What went wrong."')
        assert json.loads(filled).keys() == {"Code", "Message"}
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"
    assert answers["THROTTLED"]["responseParameters"] == {
        "gatewayresponse.header.Retry-After": "'1'"
    }


def test_no_secret_is_in_a_functions_environment(packaged):
    for function in packaged.of_type("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        secret = {"TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"}
        assert secret.isdisjoint(variables)
        assert "SETTINGS_DEFAULTS" not in variables


def test_the_metrics_know_the_api_by_the_name_that_the_alarms_read(packaged):
    (gateway,) = packaged.of_type("AWS::ApiGateway::RestApi").values()
    # Without a Name, CloudFormation takes the title.
    assert gateway.get("Name", gateway["Body"]["info"]["title"]) == app.app_name


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory):
    """A stage that has what is off by default."""

    def change(stage):
        stage["api_gateway_custom_domain"] = DOMAIN
        stage["environment_variables"] |= {
            "PUBLIC_BASE_URL": "https://calls.example.com",
            "CORS_ALLOW_ORIGIN": "https://desk.example.com",
        }
        stage["lambda_functions"]["api_handler"]["reserved_concurrency"] = 50

    return package(tmp_path_factory.mktemp("package"), "prod", change)


def test_a_domain_of_ones_own_leads_to_the_stage(with_everything):
    assert with_everything.lint(with_everything.translated) == ""
    (domain,) = with_everything.of_type("AWS::ApiGateway::DomainName").values()
    assert domain["DomainName"] == "calls.example.com"
    assert domain["RegionalCertificateArn"] == DOMAIN["certificate_arn"]
    (mapping,) = with_everything.of_type("AWS::ApiGateway::BasePathMapping").values()
    assert mapping["Stage"] in ("prod", {"Ref": "RestAPI.Stage"})


def test_concurrency_is_reserved_where_that_is_asked_for(with_everything, packaged):
    function = with_everything.of_type("AWS::Lambda::Function")["APIHandler"]
    assert function["ReservedConcurrentExecutions"] == 50
    for one in packaged.of_type("AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in one


def test_a_page_of_another_origin_may_read_api_gateways_answers_too(with_everything):
    (gateway,) = with_everything.of_type("AWS::ApiGateway::RestApi").values()
    for answer in gateway["Body"]["x-amazon-apigateway-gateway-responses"].values():
        header = "gatewayresponse.header.Access-Control-Allow-Origin"
        assert answer["responseParameters"][header] == "'https://desk.example.com'"
