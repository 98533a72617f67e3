"""The bytecode in the deployment package always matches the packaged sources."""

import py_compile
import subprocess
import sys
from py_compile import PycInvalidationMode
from zipfile import ZipFile

import pytest
from chalice.deploy.packager import LambdaDeploymentPackager

from infra import bytecode
from tests.infra.test_chalice_hook import FAKE_CREDENTIALS, REGION, Checkout

MAGIC_AND_FLAGS = 8


def write_package(file, sources):
    """Write a zip file like Chalice's."""
    with ZipFile(file, "w") as package:
        for name, content in sources.items():
            package.writestr(name, content)


def names(file):
    with ZipFile(file) as package:
        return set(package.namelist())


def compiled_name(name):
    folder, _, module = name.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    return f"{prefix}__pycache__/{module[:-3]}.{sys.implementation.cache_tag}.pyc"


def run_unzipped(file, folder, program):
    """Return the output of a program in the unzipped package, and the modules that it compiles."""
    with ZipFile(file) as package:
        package.extractall(folder)
    report = (
        "import importlib.machinery as m, sys\n"
        "compiled = []\n"
        "original = m.SourceFileLoader.source_to_code\n"
        "m.SourceFileLoader.source_to_code = lambda self, data, path, **options: ("
        "compiled.append(self.name), original(self, data, path, **options))[1]\n"
        f"{program}\nprint(compiled)"
    )
    command = [sys.executable, "-S", "-B", "-c", report]
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    *output, compiled = completed.stdout.splitlines()
    return output, compiled


def test_python_compiles_no_module_in_the_package(tmp_path):
    package = tmp_path / "package.zip"
    sources = {
        "app.py": "import chalicelib.config\nprint('app')",
        "chalicelib/__init__.py": "",
        "chalicelib/config.py": "import vendored.module",
        "vendored/__init__.py": "",
        "vendored/module.py": "print('module')",
    }
    write_package(package, sources)

    bytecode.add(package)

    assert names(package) == {*sources, *map(compiled_name, sources)}
    assert run_unzipped(package, tmp_path / "task", "import app") == (["module", "app"], "[]")


def test_changed_source_is_executed(tmp_path):
    package = tmp_path / "package.zip"
    for value in ("1", "2", "3"):
        # The sources have the same size and differ only in their content.
        write_package(package, {"app.py": f"print({value})"})
        bytecode.add(package)
        assert run_unzipped(package, tmp_path / value, "import app") == ([value], "[]")


def test_changed_source_is_executed_after_bytecode_was_added(tmp_path):
    package = tmp_path / "package.zip"
    write_package(package, {"app.py": "import other\nprint(1)", "other.py": "print('other')"})
    bytecode.add(package)
    with ZipFile(package) as compiled:
        contents = {name: compiled.read(name) for name in compiled.namelist()}
    # The changed package contains bytecode for every module, but app.py's bytecode is out of date.
    write_package(package, {**contents, "app.py": "import other\nprint(2)"})

    bytecode.add(package)

    assert names(package) == set(contents)
    assert run_unzipped(package, tmp_path / "task", "import app") == (["other", "2"], "[]")


def test_bytecode_without_a_source_is_removed(tmp_path):
    package = tmp_path / "package.zip"
    write_package(package, {"app.py": "print(1)"})
    bytecode.add(package)
    with ZipFile(package, "a") as compiled:
        compiled.writestr(compiled_name("chalicelib/removed.py"), b"")
        compiled.writestr("chalicelib/legacy.pyc", b"")

    bytecode.add(package)

    assert names(package) == {"app.py", compiled_name("app.py")}
    assert run_unzipped(package, tmp_path / "task", "import app") == (["1"], "[]")


@pytest.mark.parametrize("mode", PycInvalidationMode)
def test_bytecode_from_a_different_source_is_replaced(tmp_path, mode):
    old = tmp_path / "old.py"
    old.write_text("print('old')")
    stale = py_compile.compile(str(old), str(tmp_path / "old.pyc"), invalidation_mode=mode)
    package = tmp_path / "package.zip"
    name = "chalicelib/module.py"
    with open(stale, "rb") as file:  # noqa: PTH123  `compile` returns a string
        write_package(package, {name: "print('new')", compiled_name(name): file.read()})

    bytecode.add(package)

    assert names(package) == {name, compiled_name(name)}
    program = "import chalicelib.module"
    assert run_unzipped(package, tmp_path / "task", program) == (["new"], "[]")


def test_up_to_date_package_is_not_rewritten(tmp_path):
    package = tmp_path / "package.zip"
    write_package(package, {"app.py": "print(1)", "chalicelib/rules.toml": ""})
    bytecode.add(package)
    written = package.stat().st_ino, package.read_bytes()

    bytecode.add(package)

    assert (package.stat().st_ino, package.read_bytes()) == written


def test_bytecode_is_unchecked_and_readable_by_all_users(tmp_path):
    package = tmp_path / "package.zip"
    write_package(package, {"app.py": "print(1)"})
    bytecode.add(package)
    with ZipFile(package) as completed:
        info = completed.getinfo(compiled_name("app.py"))
        assert completed.read(info)[4:MAGIC_AND_FLAGS] == b"\x01\0\0\0"
    assert info.external_attr >> 16 == 0o644


@pytest.mark.parametrize("source", ["print 1", "\0", "# coding: unknown"])
def test_file_that_python_cannot_compile_is_packaged_without_bytecode(tmp_path, source):
    package = tmp_path / "package.zip"
    write_package(package, {"app.py": "print(1)", "other/template.py": source})
    bytecode.add(package)
    assert names(package) == {"app.py", compiled_name("app.py"), "other/template.py"}


def test_twilio_clients_for_other_products_get_no_bytecode(tmp_path):
    package = tmp_path / "package.zip"
    used = ["twilio/__init__.py", "twilio/rest/__init__.py", "twilio/rest/taskrouter/v1/a.py"]
    write_package(package, dict.fromkeys([*used, "twilio/rest/voice/v1/a.py"], ""))
    bytecode.add(package)
    assert {name for name in names(package) if name.endswith(".pyc")} == {
        compiled_name(name) for name in used
    }


def test_chalice_packager_adds_bytecode_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        LambdaDeploymentPackager, "create_deployment_package", lambda *_: "package.zip"
    )
    monkeypatch.setattr(bytecode, "add", calls.append)
    bytecode.add_to_packages()
    bytecode.add_to_packages()

    assert LambdaDeploymentPackager.create_deployment_package(None, "", "") == "package.zip"
    assert [str(file) for file in calls] == ["package.zip"]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_package_of_a_changed_checkout_contains_the_change(checkout, tmp_path):
    """Chalice reuses its zip file if no source has changed."""
    module = checkout.folder / "chalicelib" / "__init__.py"
    program = "import chalicelib; print(chalicelib.__version__)"
    # Bytecode in the checkout, even if outdated and unchecked by Python, is not packaged.
    stale = tmp_path / "stale.py"
    stale.write_text("__version__ = 'stale'")
    cached = checkout.folder / compiled_name("chalicelib/__init__.py")
    for number, version in enumerate(["1.0.0", "1.0.0", "2.0.0"]):
        py_compile.compile(
            str(stale), str(cached), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
        module.write_text(f'"""The app."""\n\n__version__ = "{version}"\n')
        out = tmp_path / f"out{number}"

        packaged = checkout.chalice(
            "package", "--stage", "dev", str(out), **REGION, **FAKE_CREDENTIALS
        )

        assert packaged.returncode == 0, packaged.stderr
        output = run_unzipped(out / "deployment.zip", tmp_path / f"task{number}", program)
        assert output == ([version], "[]")
