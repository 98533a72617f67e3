"""What all assignment instructions have in common; the catalogue says in what they differ."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple

from chalicelib.domain.instructions.kinds import Kind
from chalicelib.domain.nearest import nearest

SHOWN = 64
"""As much of an unknown name as is worth showing: it may have come from outside."""


class Fault(NamedTuple):
    """What is wrong with one parameter.

    Attributes:
        parameter: its JSON name, or ``instruction``; in a rule ``when`` or ``parameters`` too.
        message: one sentence that says what to write instead, and never a parameter's value.
    """

    parameter: str
    message: str


class InvalidInstruction(ValueError):
    """It is no instruction that TaskRouter would carry out; each fault is one sentence."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(" ".join(fault.message for fault in self.faults))


@dataclass(frozen=True)
class Parameter:
    """What is known of a parameter.

    Attributes:
        attribute: the dataclass's field.
        kind: what its value may be.
        rest: its name in the REST API.
        required: whether the instruction can't do without it.
        default: what TaskRouter takes where it is absent, as Twilio documents it; None where that
            is nothing, or not documented. It is never sent.
        secret: whether only TaskRouter may see its value.
    """

    attribute: str
    kind: Kind
    rest: str
    required: bool
    default: object
    secret: bool = False


def required(kind: Kind, rest: str) -> Any:
    """Declare a parameter that must be there, with its name in the REST API."""
    return field(metadata={"kind": kind, "rest": rest, "required": True, "default": None})


def optional(kind: Kind, rest: str, *, default: object = None, secret: bool = False) -> Any:
    """Declare a parameter that may be absent; see `Parameter`.

    Args:
        kind: what its value may be.
        rest: its name in the REST API.
        default: what TaskRouter takes instead.
        secret: whether only TaskRouter may see its value; it is kept out of the repr too.
    """
    metadata = {
        "kind": kind,
        "rest": rest,
        "required": False,
        "default": default,
        "secret": secret,
    }
    return field(default=None, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One assignment instruction. A parameter that is None is absent: nothing is sent of it.

    Raises:
        InvalidInstruction: TaskRouter would refuse a parameter.
    """

    name: ClassVar[str]
    asks: ClassVar[Mapping[str, str]]
    """What tells it from the others in the REST API."""
    accepts_always: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if faults := list(self.value_faults(self._given())):
            raise InvalidInstruction(faults)

    @property
    def accepts(self) -> bool:
        """Whether TaskRouter accepts the Reservation by it, once it is carried out."""
        return self.accepts_always or bool(getattr(self, "accept", None))

    def render(self) -> dict[str, Any]:
        """Return the JSON object to answer the assignment callback with."""
        return {"instruction": self.name, **self._given()}

    def rest(self) -> dict[str, Any]:
        """Return the form to update the Reservation with: texts, numbers, lists of texts."""
        known = self.parameters()
        given = {known[name].rest: known[name].kind.form(v) for name, v in self._given().items()}
        return {**self.asks, **given}

    def _given(self) -> dict[str, Any]:
        values = {name: getattr(self, one.attribute) for name, one in self.parameters().items()}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    @cache
    def parameters(cls) -> Mapping[str, Parameter]:
        """Return the parameters that it takes, by JSON name, in the order of Twilio's tables."""
        # `from` is a word of Python's own, so its field is `from_`.
        return {one.name.rstrip("_"): Parameter(one.name, **one.metadata) for one in fields(cls)}

    @classmethod
    def faults(cls, given: Mapping[str, Any], *, later: Collection[str] = ()) -> list[Fault]:
        """Return everything that is wrong with parameters, by JSON name.

        Args:
            given: the parameters.
            later: the names of others, whose values are not known yet.
        """
        known = cls.parameters()
        unknown = [
            Fault(name, cls._no_such(name)) for name in [*given, *later] if name not in known
        ]
        missing = [
            Fault(name, f"{cls.name} needs {name}: {one.kind.must_be}.")
            for name, one in known.items()
            if one.required and name not in given and name not in later
        ]
        values = {name: value for name, value in given.items() if name in known}
        return [*unknown, *missing, *cls.value_faults(values)]

    @classmethod
    def value_faults(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield what is wrong with the values of known parameters, by JSON name."""
        known = cls.parameters()
        for name, value in given.items():
            kind = known[name].kind
            if not kind.fits(value):
                yield Fault(name, f"{name} must be {kind.must_be}.")

    @classmethod
    def _no_such(cls, name: str) -> str:
        names = list(cls.parameters())
        if not names:
            return f"{cls.name} has no parameter {name[:SHOWN]}: it has none."
        return f"{cls.name} has no parameter {name[:SHOWN]}{instead(name, names)}"


def instead(name: str, known: Collection[str]) -> str:
    """Return what follows a name that is not known: the nearest, else all of them."""
    close = nearest(name[:SHOWN], known)
    return f"; did you mean {close}?" if close else f"; there are {', '.join(known)}."
