"""Replaces the source of modules when they are imported, without changing their files."""

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType

Rewrite = Callable[[bytes], bytes | ast.Module]


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, rewrite: Rewrite) -> None:
        super().__init__(name, path)
        self._rewrite = rewrite

    def get_code(self, fullname: str) -> CodeType:
        """Compile the rewritten source; never read or write bytecode files."""
        code = compile(
            self._rewrite(self.get_data(self.path)), self.path, "exec", dont_inherit=True
        )
        assert isinstance(code, CodeType)
        return code


class _Finder:
    def __init__(self, rewrites: Mapping[Path, Rewrite]) -> None:
        self._rewrites = rewrites

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        rewrite = self._rewrites.get(Path(spec.origin)) if spec and spec.origin else None
        if spec is None or spec.origin is None or rewrite is None:
            return None
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=_Loader(name, spec.origin, rewrite),
            submodule_search_locations=spec.submodule_search_locations,
        )


def install(rewrites: Mapping[Path, Rewrite]) -> None:
    """Rewrite the source of these files when they are imported."""
    sys.meta_path.insert(0, _Finder(rewrites))
