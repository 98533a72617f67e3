"""AWS emulator on loopback for `chalice deploy`: ministack with a few additions.

The emulator runs in a separate Python environment, so functions cannot import packages that are
installed only for the project. ministack imports an API's OpenAPI description only from
CloudFormation. Chalice sends the description to API Gateway, so this module adds ImportRestApi and
PutRestApi. The module also adds the request's domain name to Lambda events, as API Gateway does,
finds the stack that owns a resource, and searches logs from the newest line.

Usage: python emulator.py PORT
"""

import json
import os
import sys


def configure(port):
    # ministack reads its settings when it is imported.
    os.environ |= {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "STATE_DIR": os.devnull,
    }


def extend(v1):
    """Add the operations and the behavior that ministack's API Gateway lacks."""
    handle, update = v1.handle_request, v1._update_rest_api

    async def handle_request(method, path, headers, body, query_params):
        match (method, path.strip("/").split("/")):
            case ("POST", ["restapis"]) if "import" in (query_params.get("mode") or ""):
                api_id = v1._import_rest_api(json.loads(body))
                _set_binary_types(v1, api_id, json.loads(body))
                return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), 201)
            case ("PUT", ["restapis", api_id]) if api_id in v1._rest_apis:
                _overwrite(v1, api_id, json.loads(body))
                return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), 200)
        return await handle(method, path, headers, body, query_params)

    def update_rest_api(api_id, data):
        # Chalice disables compression with an empty string, which ministack would store.
        operations = [
            operation
            for operation in data.get("patchOperations", [])
            if (operation.get("path"), operation.get("value")) != ("/minimumCompressionSize", "")
        ]
        return update(api_id, {**data, "patchOperations": operations})

    build_event = v1._build_lambda_event_v1

    def build_lambda_event(*args, **kwargs):
        event = build_event(*args, **kwargs)
        # The app verifies signatures against a URL that contains this domain name.
        context, headers = event["requestContext"], event["headers"]
        context["domainName"] = headers.get("host") or headers.get("Host")
        return event

    v1.handle_request, v1._update_rest_api = handle_request, update_rest_api
    v1._build_lambda_event_v1 = build_lambda_event


def find_stacks_by_resource(stacks, handlers):
    """Make DescribeStackResources find a stack by the physical ID of one of its resources."""
    describe = handlers["DescribeStackResources"]

    def describe_stack_resources(params):
        sought = params.get("PhysicalResourceId", [None])
        for stack in stacks.values():
            resources = stack.get("_resources", {}).values()
            names = [resource.get("PhysicalResourceId") for resource in resources]
            if stack["StackStatus"] != "DELETE_COMPLETE" and sought[0] in names:
                return describe({**params, "StackName": [stack["StackName"]]})
        return describe(params)

    handlers["DescribeStackResources"] = describe_stack_resources


def search_backward(logs):
    """Make FilterLogEvents return the newest lines first, if the request specifies this order.

    ministack ignores the order and JSON filter patterns. It applies the limit to the oldest lines,
    so this function sets the highest limit in these requests.
    """
    search = logs._filter_log_events

    def filter_log_events(data):
        if data.get("startFromHead", True):
            return search(data)
        status, headers, body = search({**data, "limit": 10_000})
        content = json.loads(body)
        content["events"] = content.get("events", [])[::-1]
        return status, headers, json.dumps(content).encode() if status == 200 else body

    logs._filter_log_events = filter_log_events


def _overwrite(v1, api_id, spec):
    resources = v1._resources[api_id]
    v1._resources[api_id] = {
        resource_id: resource
        for resource_id, resource in resources.items()
        if resource["path"] == "/"
    }
    for resource in v1._resources[api_id].values():
        resource.pop("resourceMethods", None)
    for path, item in spec["paths"].items():
        v1._import_path_item(api_id, path, item)
    _set_binary_types(v1, api_id, spec)


def _set_binary_types(v1, api_id, spec):
    v1._rest_apis[api_id]["binaryMediaTypes"] = list(
        spec.get("x-amazon-apigateway-binary-media-types", [])
    )


def main():
    # ministack would otherwise parse this program's argument.
    configure(int(sys.argv.pop()))
    from ministack.services import (  # noqa: PLC0415  after configure()
        apigateway_v1,
        cloudformation,
        cloudwatch_logs,
        lambda_svc,
    )

    extend(apigateway_v1)
    search_backward(cloudwatch_logs)
    find_stacks_by_resource(cloudformation._stacks, cloudformation._ACTION_HANDLERS)
    # boto3 polls a new function every 5 seconds until it is active, so activate it immediately.
    lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 0
    from ministack.app import main as serve  # noqa: PLC0415  after configure()

    sys.exit(serve())


if __name__ == "__main__":
    main()
