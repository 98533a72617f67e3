"""Converts a graph of objects to JSON and back, according to their type annotations.

Each dataclass instance is stored once, in a table, and other values refer to it by its key. The key
of a resource is its SID. Objects that are not stored, such as the engine, are called roots, and are
referred to by name.
"""

import math
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache, partial
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from taskrouter_simulator.continuations import FUNCTIONS, function_name


class Root:
    """The annotation of an object that is not stored, such as `self`."""


_FORMS: dict[Any, str] = {
    **dict.fromkeys((str, int, bool, Any), "plain"),
    **dict.fromkeys((list, tuple, set, frozenset, deque), "sequence"),
    **dict.fromkeys((dict, OrderedDict), "dictionary"),
    float: "float",
    partial: "call",
    Callable: "call",
    Root: "object",
}
"""Stored forms by type. `Any` means JSON. For other types, see `_classify`."""


class _Annotation(NamedTuple):
    form: str
    kind: Any
    items: tuple[Any, ...]
    is_optional: bool = False


class Writer:
    """Converts objects to JSON.

    Args:
        roots: Objects that are referred to by name.

    Attributes:
        objects: The stored objects by key.
    """

    def __init__(self, roots: Mapping[str, object]) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self._keys = {id(root): name for name, root in roots.items()}
        self._kept: list[object] = []

    def write(self, value: Any, hint: Any) -> Any:
        """Return a value of the annotated type as JSON.

        Raises:
            TypeError: Values of this type cannot be stored.
        """
        return self._write(value, _classify(hint))

    def _write(self, value: Any, annotation: _Annotation) -> Any:
        form, kind, items, _ = annotation
        match "plain" if value is None else form:
            case "float":
                value = str(value) if math.isinf(value) else value
            case "enum":
                value = value.value
            case "dictionary":
                item_annotation = _classify(items[1])
                value = {key: self._write(item, item_annotation) for key, item in value.items()}
            case "sequence":
                item_annotation = _classify(items[0])
                written = [self._write(item, item_annotation) for item in value]
                value = sorted(written) if kind in {set, frozenset} else written
            case "named tuple":
                value = [self.write(*pair) for pair in zip(value, items, strict=True)]
            case "call":
                value = self._write_call(value)
            case "object":
                value = self._write_object(value)
        return value

    def _write_call(self, call: "partial[None]") -> dict[str, Any]:
        function: Any = call.func
        arguments = call.args
        if isinstance(function, types.MethodType):
            function, arguments = function.__func__, (function.__self__, *arguments)
        name = function_name(function)
        if FUNCTIONS.get(name) is not function or call.keywords:
            raise TypeError(f"{call} cannot be stored")
        hints = _parameter_types(name)
        values = zip(arguments, hints, strict=False)  # the partial's caller can add arguments
        return {"function": name, "arguments": [self.write(*pair) for pair in values]}

    def _write_object(self, value: Any) -> str:
        key = self._keys.get(id(value))
        if key is None:
            sid = getattr(value, "sid", "")
            key = sid if sid and sid not in self.objects else str(len(self._kept))
            self._keys[id(value)] = key
            self._kept.append(value)  # keep it alive, so that no other object gets its id
            stored = self.objects[key] = {}
            for name, (annotation, _) in _fields(value.__class__).items():
                stored[name] = self._write(getattr(value, name), annotation)
        return key


class Reader:
    """Converts JSON to objects.

    Args:
        objects: The stored objects by key.
        roots: Objects that are referred to by name.
    """

    def __init__(self, objects: Mapping[str, Any], roots: Mapping[str, object]) -> None:
        self._stored = objects
        self._objects: dict[str, object] = dict(roots)

    def read(self, data: Any, hint: Any) -> Any:
        """Convert JSON to a value of the annotated type.

        Raises:
            LookupError, TypeError, ValueError, ArithmeticError or AttributeError: The JSON was not
                written by `Writer`, or was written for other types.
        """
        return self._read(data, _classify(hint))

    def _read(self, data: Any, annotation: _Annotation) -> Any:
        form, kind, items, is_optional = annotation
        if data is None and is_optional:
            return None
        match form:
            case "plain":
                data = _read_plain(data, kind)
            case "float" | "enum":
                data = kind(data)
            case "dictionary":
                item_annotation = _classify(items[1])
                data = kind((key, self._read(item, item_annotation)) for key, item in data.items())
            case "sequence":
                item_annotation = _classify(items[0])
                data = kind(self._read(item, item_annotation) for item in data)
            case "named tuple":
                data = kind(*(self.read(*pair) for pair in zip(data, items, strict=True)))
            case "call":
                data = self._read_call(data)
            case "object":
                data = self._read_object(data, kind)
        return data

    def _read_call(self, data: Mapping[str, Any]) -> "partial[None]":
        hints = _parameter_types(data["function"])
        values = zip(data["arguments"], hints, strict=False)
        return partial(FUNCTIONS[data["function"]], *(self.read(*pair) for pair in values))

    def _read_object(self, key: str, kind: type) -> object:
        if key not in self._objects:
            stored = self._stored[key]
            value: object = object.__new__(kind)
            self._objects[key] = value
            unknown = stored.keys() - _fields(kind).keys()
            if unknown:
                raise ValueError(f"{kind.__name__} has no field {min(unknown)}")
            for name, (annotation, field) in _fields(kind).items():
                is_stored = name in stored
                item = self._read(stored[name], annotation) if is_stored else _default(field)
                object.__setattr__(value, name, item)  # works even if the class is frozen
        if kind is not Root and not isinstance(self._objects[key], kind):
            raise TypeError(f"{key} is not a {kind.__name__}")
        return self._objects[key]


def _read_plain(data: Any, kind: Any) -> Any:
    if kind is int:
        return int(data)  # another JSON library may have written a whole number as a float
    if kind is not Any and type(data) is not kind:
        raise TypeError(f"{repr(data)[:100]} is not a {kind.__name__}")
    return data


def _default(field: "Field[Any]") -> Any:
    """Return the default of a field that an older version of the simulator did not have."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is MISSING:
        raise ValueError(f"{field.name} is missing")
    return field.default


@lru_cache
def _fields(kind: Any) -> dict[str, "tuple[_Annotation, Field[Any]]"]:
    """Return the annotation and the definition of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: (_classify(hints[field.name]), field) for field in fields(kind)}


@lru_cache
def _parameter_types(name: str) -> list[Any]:
    """Return the annotations of a registered function's parameters; `self` is a root."""
    function = FUNCTIONS[name]
    hints = get_type_hints(function)
    code = function.__code__
    return [hints.get(parameter, Root) for parameter in code.co_varnames[: code.co_argcount]]


@lru_cache(maxsize=1024)
def _classify(hint: Any) -> _Annotation:
    """Parse a type annotation.

    Returns:
        The stored form of a value, its type, the types of its items, and whether it can be None.

    Raises:
        TypeError: Values of the type cannot be stored.
    """
    origin, items = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        (hint,) = [item for item in items if item is not types.NoneType]
        return _classify(hint)._replace(is_optional=True)
    kind = origin or hint
    if form := _FORMS.get(kind):
        return _Annotation(form, kind, items)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _Annotation("enum", kind, ())
    if isinstance(kind, type) and issubclass(kind, tuple):
        return _Annotation("named tuple", kind, tuple(get_type_hints(kind).values()))
    if is_dataclass(kind):
        return _Annotation("object", kind, ())
    raise TypeError(f"a value of the type {hint} cannot be stored in a snapshot")
