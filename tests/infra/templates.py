"""The templates as data."""

from pathlib import Path

import yaml

INFRA = Path(__file__).parents[2] / "infra"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, read as {tag: value}."""


_BY_KIND = {
    yaml.ScalarNode: _Loader.construct_scalar,
    yaml.SequenceNode: _Loader.construct_sequence,
    yaml.MappingNode: _Loader.construct_mapping,
}
_Loader.add_multi_constructor(
    "!", lambda loader, tag, node: {tag: _BY_KIND[type(node)](loader, node)}
)


def read(name):
    text = (INFRA / name).read_text(encoding="utf-8")
    return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader


def of_type(template, kind):
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def with_stage(value, stage):
    """What `!Ref Stage` and `!Sub ...${Stage}...` become."""
    match value:
        case {"Ref": "Stage"}:
            return stage
        case {"Sub": text}:
            return text.replace("${Stage}", stage)
        case _:
            return value
