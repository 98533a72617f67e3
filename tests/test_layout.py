"""Layout limits: no import cycles, few modules, and short modules and functions."""

import ast
import functools
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("chalicelib", "taskrouter_simulator", "infra", "local", "benchmarks")
MAX_MODULES = 296
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40


def source_files():
    """Return the Python files in the packages and in the root folder, relative to the root."""
    packaged = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return sorted(file.relative_to(ROOT) for file in (*ROOT.glob("*.py"), *packaged))


def module_name(file):
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def parse(file):
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported_modules(file, modules):
    """Return the project modules that a file imports, including imports inside functions."""
    imported = set()
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} uses a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                imported.add(submodule if submodule in modules else node.module)
    return imported & modules


def import_cycles(graph):
    """Return import cycles such as "a -> b -> a".

    Removing the first import of each returned cycle breaks all cycles.
    """
    graph = {module: set(imported) for module, imported in graph.items()}
    cycles = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # graphlib lists each module before the module that imports it.
            cycle = error.args[1][::-1]
            cycles.append(" -> ".join(cycle))
            graph[cycle[0]].discard(cycle[1])
        else:
            return cycles


def function_lines(function):
    """Return the number of lines in a function, excluding its docstring and decorators."""
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def test_modules_have_no_import_cycles():
    files = {module_name(file): file for file in source_files()}
    graph = {
        module: imported_modules(file, files.keys()) - {module} for module, file in files.items()
    }
    cycles = import_cycles(graph)
    assert not cycles, "\n".join(cycles)


def test_all_import_cycles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert sorted(sorted(set(cycle.split(" -> "))) for cycle in import_cycles(graph)) == [
        ["a", "b", "c"],
        ["e", "f"],
    ]


def test_imports_in_functions_and_for_type_checking_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "module.py").write_text(
        "import a.b\n"
        "if TYPE_CHECKING:\n    from a import c\n"
        "def function():\n    from a.d import name, other\n    import os\n"
    )
    modules = {"a", "a.b", "a.c", "a.d", "a.e"}
    assert imported_modules(Path("module.py"), modules) == {"a.b", "a.c", "a.d"}


def test_number_of_modules_is_limited():
    files = source_files()
    assert len(files) <= MAX_MODULES, "\n".join(map(str, files))


def test_no_module_is_longer_than_400_lines():
    too_long = [
        f"{file}: {length} lines"
        for file in source_files()
        if (length := len((ROOT / file).read_text(encoding="utf-8").splitlines()))
        > MAX_MODULE_LINES
    ]
    assert not too_long, "\n".join(too_long)


def test_no_function_is_longer_than_40_lines():
    too_long = [
        f"{file}:{node.lineno} {node.name}: {length} lines"
        for file in source_files()
        for node in ast.walk(parse(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := function_lines(node)) > MAX_FUNCTION_LINES
    ]
    assert not too_long, "\n".join(too_long)


def test_docstring_and_decorators_do_not_count_as_function_lines():
    (function,) = ast.parse(
        '@decorator\ndef f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    ).body
    assert function_lines(function) == 3
