"""An AWS on loopback that `chalice deploy` can deploy to: ministack, and what it lacks for that.

Runs in an environment of its own, in which functions find what Lambda brings and nothing of ours.
ministack reads an API's OpenAPI description for CloudFormation only; Chalice sends it to API
Gateway itself (ImportRestApi, PutRestApi), so those two calls are added here. And functions are
told the domain name of a request, as API Gateway tells them.

usage: python emulator.py PORT
"""

import json
import os
import sys


def configure(port):
    # Before ministack is imported: it reads its settings then.
    os.environ |= {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "STATE_DIR": os.devnull,
    }


def teach(v1):
    """Add ImportRestApi and PutRestApi to ministack's API Gateway."""
    handle, update = v1.handle_request, v1._update_rest_api

    async def handle_request(method, path, headers, body, query_params):
        match (method, path.strip("/").split("/")):
            case ("POST", ["restapis"]) if "import" in (query_params.get("mode") or ""):
                api_id = v1._import_rest_api(json.loads(body))
                _take_over(v1, api_id, json.loads(body))
                return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), 201)
            case ("PUT", ["restapis", api_id]) if api_id in v1._rest_apis:
                _overwrite(v1, api_id, json.loads(body))
                return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), 200)
        return await handle(method, path, headers, body, query_params)

    def update_rest_api(api_id, data):
        # Chalice turns compression off by an empty text, which ministack would keep as it is.
        wanted = [
            one
            for one in data.get("patchOperations", [])
            if (one.get("path"), one.get("value")) != ("/minimumCompressionSize", "")
        ]
        return update(api_id, {**data, "patchOperations": wanted})

    build_event = v1._build_lambda_event_v1

    def build_lambda_event(*args, **kwargs):
        event = build_event(*args, **kwargs)
        # Where the request came in, which is what a signature is checked against.
        context, headers = event["requestContext"], event["headers"]
        context["domainName"] = headers.get("host") or headers.get("Host")
        return event

    v1.handle_request, v1._update_rest_api = handle_request, update_rest_api
    v1._build_lambda_event_v1 = build_lambda_event


def _overwrite(v1, api_id, spec):
    resources = v1._resources[api_id]
    v1._resources[api_id] = {
        one: resource for one, resource in resources.items() if resource["path"] == "/"
    }
    for resource in v1._resources[api_id].values():
        resource.pop("resourceMethods", None)
    for path, item in spec["paths"].items():
        v1._import_path_item(api_id, path, item)
    _take_over(v1, api_id, spec)


def _take_over(v1, api_id, spec):
    v1._rest_apis[api_id]["binaryMediaTypes"] = list(
        spec.get("x-amazon-apigateway-binary-media-types", [])
    )


def main():
    # ministack has arguments of its own, and is to see none.
    configure(int(sys.argv.pop()))
    from ministack.services import apigateway_v1, lambda_svc  # noqa: PLC0415  configured by now

    teach(apigateway_v1)
    # boto3 looks every 5 seconds whether a new function is active: let it find it so at once.
    lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 0
    from ministack.app import main as serve  # noqa: PLC0415  as above

    sys.exit(serve())


if __name__ == "__main__":
    main()
