"""The fingerprint of a deployment: a hash of the inputs listed in `compute`.

The fingerprint is stored in S3 with the versions that `live_resources.describe_versions` returns
for the deployed parts of the stage. If any tool changes one of these parts after the deployment,
the version of the part changes. A stage is not deployed again as long as its fingerprint and all
versions are unchanged. Changes to other resources, such as a role's trust policy or an alarm, are
not detected.

A separate object records that the first run of the deploy command has completed.
"""

import hashlib
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.config import PROJECT
from infra.aws import Aws, api_settings, chalice_record, live_resources, policies, template
from infra.aws.stage_config import Stage, project

_PACKAGED_FILES = ("app.py", "chalicelib", "vendor", "requirements.txt")
"""The files and folders from which Chalice builds the deployment package."""


def compute(stage: Stage, concurrency: int) -> str:
    """Return the fingerprint that a deployment of the stage would have.

    Args:
        stage: The stage to deploy.
        concurrency: See `capacity.read_concurrency`.
    """
    project_config = project()
    section = project_config.pop("stages")[stage.name]
    inputs = {
        "runtime": chalice_record.lambda_runtime(),
        "chalice": metadata.version("chalice"),
        "project": project_config,
        "stage": section,
        "policies": policies.render(stage),
        "api_settings": api_settings.merged_template(stage, concurrency),
        "concurrency": concurrency,
        "files": {
            str(path.relative_to(PROJECT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in _files(section)
        },
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _files(section: dict[str, Any]) -> Iterator[Path]:
    yield template.FILE
    for name in _PACKAGED_FILES:
        path = PROJECT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                yield file
    if policy_file := section.get("api_gateway_policy_file"):
        yield PROJECT / ".chalice" / policy_file


def is_deployed(aws: Aws, stage: Stage, bucket: str, fingerprint: str, api_id: str) -> bool:
    """Return whether the fingerprint and the versions match the last deployment."""
    stored = _read(aws, bucket, _key(stage))
    return stored is not None and stored == _content(aws, stage, fingerprint, api_id)


def store(aws: Aws, stage: Stage, bucket: str, fingerprint: str, api_id: str) -> None:
    """Store the fingerprint and the versions of a complete deployment."""
    body = _content(aws, stage, fingerprint, api_id)
    aws.client("s3").put_object(Bucket=bucket, Key=_key(stage), Body=body)


def remove(aws: Aws, stage: Stage, bucket: str) -> None:
    """Remove the fingerprint, so that the next run does not skip the deployment."""
    aws.client("s3").delete_object(Bucket=bucket, Key=_key(stage))


def is_first_run(aws: Aws, stage: Stage, bucket: str) -> bool:
    """Return whether no run of the deploy command has completed since the bucket was created."""
    return _read(aws, bucket, _first_run_key(stage)) is None


def end_first_run(aws: Aws, stage: Stage, bucket: str) -> None:
    """Record that a run of the deploy command has completed."""
    aws.client("s3").put_object(Bucket=bucket, Key=_first_run_key(stage), Body=b"completed")


def _read(aws: Aws, bucket: str, key: str) -> bytes | None:
    try:
        response = aws.client("s3").get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return bytes(response["Body"].read())


def _content(aws: Aws, stage: Stage, fingerprint: str, api_id: str) -> bytes:
    versions = live_resources.describe_versions(aws, stage, api_id)
    content = {"fingerprint": fingerprint, "versions": versions}
    return json.dumps(content, indent=2, sort_keys=True).encode()


def _key(stage: Stage) -> str:
    return f"deployed/{stage.name}.fingerprint.json"


def _first_run_key(stage: Stage) -> str:
    return f"deployed/{stage.name}.first-run"
