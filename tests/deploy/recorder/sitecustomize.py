"""Records the AWS calls made by a Python process and by the Python processes that it starts.

Python imports this module at startup if this folder is in PYTHONPATH. Each call becomes a JSON
line in the file whose path is in RECORDED_CALLS.
"""

import json
import os
from pathlib import Path

from botocore.client import BaseClient

_make_api_call = BaseClient._make_api_call


def _record_and_make_api_call(client, operation_name, api_params):
    model = client.meta.service_model
    operation = model.operation_model(operation_name)
    members = operation.input_shape.members if operation.input_shape else {}
    in_path = {
        shape.serialization["name"]: str(api_params[name])
        for name, shape in members.items()
        if shape.serialization.get("location") == "uri" and name in api_params
    }
    path = operation.http["requestUri"].split("?")[0].replace("+}", "}")
    strings = {name: value for name, value in api_params.items() if isinstance(value, str)}
    call = {
        "service": model.endpoint_prefix,
        "operation": operation_name,
        "parameters": strings,
        "method": operation.http["method"],
        "path": path.format(**in_path),
    }
    with Path(os.environ["RECORDED_CALLS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")
    return _make_api_call(client, operation_name, api_params)


BaseClient._make_api_call = _record_and_make_api_call
