"""The packages that are mutated, and the tests that run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """A project whose packages are mutated.

    Attributes:
        root: the folder in which pytest runs.
        packages: the mutated folders by name, relative to the root.
        tests: the test files and folders, relative to the root.
        observed: the folders whose executed statements are recorded.
        excluded: the pytest options that exclude tests.
    """

    root: Path
    packages: dict[str, str]
    tests: tuple[str, ...]
    observed: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    def files(self, folder: str) -> list[str]:
        """Return the Python files in a folder, relative to the root."""
        paths = sorted((self.root / folder).rglob("*.py"))
        return [path.relative_to(self.root).as_posix() for path in paths]

    def fingerprint(self) -> str:
        """Return a hash of the observed files and of all tests."""
        digest = hashlib.sha256(repr(self).encode())
        for folder in sorted({path.partition("/")[0] for path in self.observed + self.tests}):
            for file in self.files(folder) or [folder]:
                digest.update(file.encode() + b"\0" + (self.root / file).read_bytes())
        return digest.hexdigest()

    def observed_files(self) -> list[str]:
        return [file for folder in self.observed for file in self.files(folder)]


THIS_PROJECT = Project(
    root=Path(__file__).parents[2],
    packages={
        "domain": "chalicelib/domain",
        "usecases": "chalicelib/usecases",
        "adapters": "chalicelib/adapters",
        "routes": "chalicelib/routes",
        "simulator": "taskrouter_simulator",
    },
    tests=(
        "tests/adapters",
        "tests/chaos",
        "tests/domain",
        "tests/fuzz",
        "tests/portal/test_overview.py",
        "tests/routes",
        "tests/simulator",
        "tests/usecases",
        "tests/test_config.py",
        "tests/test_docs.py",
    ),
    observed=("chalicelib", "taskrouter_simulator"),
    excluded=("-m", "not slow and not chaos"),
)
