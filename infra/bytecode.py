"""Adds bytecode to deployment packages, so that functions do not compile modules when they start.

Lambda's file system is read-only, so each new execution environment would compile all imported
modules. Chalice packages no bytecode for dependencies, and gives all files the same modification
time, so Python would ignore timestamp-based bytecode. The added bytecode is therefore "unchecked"
(https://peps.python.org/pep-0552/): Python does not compare the bytecode with its source. The
bytecode is compiled from the sources in the package, so bytecode and sources always match
(docs/adr/0036).
"""

import functools
import importlib.util
import marshal
import sys
import warnings
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from chalice.deploy.packager import LambdaDeploymentPackager

_HEADER = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little")
"""The beginning of unchecked bytecode, before the hash of its source."""

_SDK, _SDK_USED = "twilio/rest/", ("twilio/rest/__init__.py", "twilio/rest/taskrouter/")
"""Twilio's SDK has clients for about 40 APIs. Bytecode for all of them would double the size of the
package."""

_MODE = 0o644
"""File mode of the bytecode. Lambda runs functions as a user who does not own the files."""


def add_to_packages() -> None:
    """Make Chalice add bytecode to the packages that this process creates."""
    packager_class: Any = LambdaDeploymentPackager
    create = packager_class.create_deployment_package
    if hasattr(create, "__wrapped__"):
        return

    @functools.wraps(create)
    def create_with_bytecode(*arguments: Any, **options: Any) -> str:
        package: str = create(*arguments, **options)
        add(Path(package))
        return package

    packager_class.create_deployment_package = create_with_bytecode


def add(package: Path) -> None:
    """Replace the bytecode in a zip file with bytecode compiled from the sources in that file.

    The bytecode is for the running version of Python, from which Chalice also derives the
    functions' runtime. A package whose bytecode is up to date remains unchanged.
    """
    with ZipFile(package) as existing:
        contents = {info: existing.read(info) for info in existing.infolist()}
    compiled = {info.filename: data for info, data in contents.items() if _is_bytecode(info)}
    sources = {
        info.filename: data
        for info, data in contents.items()
        if info.filename.endswith(".py") and _is_used(info.filename)
    }
    headers = {_bytecode_name(name): _header(source) for name, source in sources.items()}
    if headers == {name: data[: len(_header(b""))] for name, data in compiled.items()}:
        return
    temporary = package.with_suffix(".tmp")
    with ZipFile(temporary, "w", ZIP_DEFLATED) as completed:
        for info, data in contents.items():
            if not _is_bytecode(info):
                completed.writestr(_copy(info), data)
        for name, source in sources.items():
            if (code := _compile(name, source)) is not None:
                completed.writestr(_new(_bytecode_name(name)), _header(source) + code)
    temporary.replace(package)


def _is_bytecode(info: ZipInfo) -> bool:
    return info.filename.endswith(".pyc")


def _is_used(name: str) -> bool:
    return not name.startswith(_SDK) or name.startswith(_SDK_USED)


def _bytecode_name(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")


def _header(source: bytes) -> bytes:
    return _HEADER + importlib.util.source_hash(source)


def _compile(name: str, source: bytes) -> bytes | None:
    """Return the code of a module, or None for a file that this version of Python can't compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
        except (SyntaxError, ValueError):
            return None


def _new(name: str) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = _MODE << 16
    info.compress_type = ZIP_DEFLATED
    return info


def _copy(info: ZipInfo) -> ZipInfo:
    copy = ZipInfo(info.filename, info.date_time)
    copy.external_attr = info.external_attr
    copy.compress_type = ZIP_DEFLATED
    return copy
