"""The CloudFormation template of a stage."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[1] / "stage.yaml"


class _Loader(yaml.SafeLoader):
    """Loads a CloudFormation template, and replaces short forms such as !Ref with {"Ref": ...}."""


def _construct_function(
    loader: _Loader, suffix: str, node: yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode
) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    match node:
        case yaml.ScalarNode():
            return {name: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {name: loader.construct_sequence(node, deep=True)}
        case yaml.MappingNode():
            return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _construct_function)


@functools.cache
def read() -> Mapping[str, Any]:
    """Return the parsed template; the result is cached, because parsing takes 0.1 s."""
    template: Mapping[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a SafeLoader
    return template
