"""Reads the CloudFormation templates as data."""

import functools
from pathlib import Path

import yaml

INFRA = Path(__file__).parents[2] / "infra"


class _Loader(yaml.SafeLoader):
    """Loads YAML and represents CloudFormation's tags as {tag: value}."""


_CONSTRUCTORS = {
    yaml.ScalarNode: _Loader.construct_scalar,
    yaml.SequenceNode: _Loader.construct_sequence,
    yaml.MappingNode: _Loader.construct_mapping,
}
_Loader.add_multi_constructor(
    "!", lambda loader, tag, node: {tag: _CONSTRUCTORS[type(node)](loader, node)}
)


@functools.cache
def read(name):
    """Return a parsed template; the result is cached, because parsing stage.yaml takes 0.1 s."""
    text = (INFRA / name).read_text(encoding="utf-8")
    return yaml.load(text, _Loader)  # noqa: S506  # _Loader is a SafeLoader


def of_type(template, resource_type):
    """Return the properties of all resources of a type, by logical ID."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == resource_type
    }


def with_stage(value, stage):
    """Resolve `!Ref Stage` and `!Sub ...${Stage}...`, with the default of CallbackPrefix."""
    match value:
        case {"Ref": "Stage"}:
            return stage
        case {"Sub": text}:
            return text.replace("${Stage}", stage).replace("${CallbackPrefix}", "")
        case _:
            return value
