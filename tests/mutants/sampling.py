"""Draws a sample of the mutations of each package."""

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutations import Mutation, changes_program, mutations_of
from tests.mutants.project import Project

EQUIVALENT = Path(__file__).parent / "equivalent.toml"

Key = tuple[str, str, str, str]
"""A file, a function, and the changed lines before and after the change."""


@dataclass(frozen=True)
class Sample:
    """The drawn mutations of a package.

    Attributes:
        mutants: the mutations to run.
        equivalent: number of mutations that were skipped because they are listed as equivalent.
    """

    mutants: list[Mutation]
    equivalent: int


def key(mutation: Mutation) -> Key:
    return mutation.file, mutation.place.function, mutation.before, mutation.after


def read_equivalent(file: Path) -> dict[Key, str]:
    """Return the listed equivalent mutations, each with the reason why it is equivalent."""
    if not file.exists():
        return {}
    listed = tomllib.loads(file.read_text(encoding="utf-8")).get("mutant", [])
    return {
        (entry["file"], entry["function"], entry["before"], entry["after"]): entry["reason"]
        for entry in listed
    }


def draw(
    project: Project, package: str, *, seed: int, count: int, equivalent: dict[Key, str]
) -> Sample:
    """Draw mutations that change the program and are not equivalent."""
    files = project.files(project.packages[package])
    mutations = [mutation for file in files for mutation in mutations_of(project.root, file)]
    random.Random(f"{seed} {package}").shuffle(mutations)  # noqa: S311  # draws a sample
    chosen: list[Mutation] = []
    skipped = 0
    for mutation in _changing(project, mutations):
        if len(chosen) == count:
            break
        if key(mutation) in equivalent:
            skipped += 1
        else:
            chosen.append(mutation)
    return Sample(chosen, skipped)


def _changing(project: Project, mutations: list[Mutation]) -> Iterator[Mutation]:
    for mutation in mutations:
        content = (project.root / mutation.file).read_bytes()
        if changes_program(content, mutation.apply(content)):
            yield mutation
