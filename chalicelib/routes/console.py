"""Routes that serve the agent console: its page, and the page's scripts and styles.

All URLs are relative, because the path of the deployed API begins with its stage.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chalice.app import Blueprint, Response

from chalicelib.domain.errors import NotFound
from chalicelib.routes.http import route

blueprint = Blueprint(__name__)

_FOLDER = Path(__file__).parents[1] / "console"

_PAGE = "index.html"
_SCRIPT = "console.js"
_SUPERVISORS = "supervisor.js"
_SUPERVISOR_PAGES = "SUPERVISOR_PAGES"
_STYLES = "console.css"
_LICENSES = "licenses.txt"
_FIRST_MODULE = "main.js"
_LANGUAGE_FILE = re.compile(r"texts_\w+\.js")
"""A file of texts in a language other than English. Only users of that language load it."""

_IMPORT = re.compile(r'^import (?:\{ ([^;]+) \} from )?"\./([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|function|class|async|let)", re.MULTILINE)
_COMMENT = re.compile(
    r"^ *(?://(?![^\n]*licenses\.txt)[^\n]*|/\*.*?\*/)\n+", re.MULTILINE | re.DOTALL
)
"""A comment that occupies whole lines. Line comments that refer to licenses.txt must stay."""

_INDENTATION = re.compile(r"^\s+", re.MULTILINE)

_LINE_BREAK = re.compile(r"(?<=[{(\[,;])\n(?!//|\Z)|\n(?=[}\])])")
"""An insignificant line break. Line breaks before comments and at the end of a script are kept."""

_TEXT = re.compile(r'^ +\w+: (".*"),$', re.MULTILINE)

_OPERATOR = re.compile(r" (=>|===|!==|&&|\|\||\?\?|[+]=) ")

_STYLE_SPACE = re.compile(r"(?<=[{},;:])\s| (?=\{)|;(?=\})")
"""Whitespace, or a semicolon, that is insignificant in the style sheets."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "agent-console",  # the policy that timer.js applies to its worker's URL
}

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""Headers of the console's responses, in addition to the default headers of all responses."""


@dataclass(frozen=True)
class _Console:
    """The files that the browser requests, by name, and the version that their URLs contain."""

    files: Mapping[str, str]
    version: str


@functools.cache
def _console() -> _Console:
    """Return the console. Its files are read on first use, because callbacks do not need them."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(_FOLDER.iterdir())}
    common: dict[str, str] = {}
    _add_module(common, sources, _FIRST_MODULE)
    modules = dict(common)
    _add_module(modules, sources, _SUPERVISORS)
    styles = [_STYLES, *(name for name in sources if name.endswith(".css") and name != _STYLES)]
    joined = {*modules, *styles}
    files = {name: text for name, text in sources.items() if name not in joined}
    files[_LICENSES] = _INDENTATION.sub("", files[_LICENSES])
    files |= {name: _values(files[name]) for name in files if _LANGUAGE_FILE.fullmatch(name)}
    files |= _scripts(sources, common, modules)
    files[_STYLES] = _STYLE_SPACE.sub("", _shorten("".join(sources[name] for name in styles)))
    contents = "".join(f"{name}\0{text}\0" for name, text in files.items())
    return _Console(files, hashlib.sha256(contents.encode()).hexdigest()[:16])


def _add_module(modules: dict[str, str], sources: Mapping[str, str], name: str) -> None:
    """Add a module, without its imports and ``export`` keywords, after the modules it imports.

    The modules are combined into two scripts, and the styles into one style sheet, because API
    Gateway throttles requests. With one request per module, a few agents who load the page at the
    same time would exceed the burst limit. The modules of a script share a scope, so their
    top-level names must differ.
    """
    for _, imported in _IMPORT.findall(sources[name]):
        if imported not in modules:
            _add_module(modules, sources, imported)
    modules[name] = _EXPORT.sub("", _IMPORT.sub("", sources[name]))


def _scripts(
    sources: Mapping[str, str], common: Mapping[str, str], modules: Mapping[str, str]
) -> dict[str, str]:
    """Return the script that all users need, and the script that only supervisors need."""
    more = [name for name in modules if name not in common]
    imports = [found for name in more for found in _IMPORT.findall(sources[name])]
    shared = {name for names, module in imports if module in common for name in names.split(", ")}
    names = f"{{ {', '.join(sorted(shared))} }}"
    supervisors = "".join(modules[name] for name in more)
    return {
        _SCRIPT: f"{_shorten(''.join(common.values()))}export {names};\n",
        _SUPERVISORS: f'import {names} from "./{_SCRIPT}";\n'
        f"{_shorten(supervisors)}export {{ {_SUPERVISOR_PAGES} }};\n",
    }


def _values(source: str) -> str:
    """Return a module that exports a file's texts without their keys.

    The files of all languages have the texts in the same order.
    """
    return f"export default [{','.join(_TEXT.findall(source))}];\n"


def _shorten(text: str) -> str:
    """Remove comments, indentation, most line breaks, and the spaces around some operators.

    htm ignores line breaks in its templates. No text on the page contains these operators.
    """
    lines = _INDENTATION.sub("", _COMMENT.sub("", text))
    return _OPERATOR.sub(r"\1", _LINE_BREAK.sub("", lines))


def console_version() -> str:
    """Return a hash of the console's files. An open page compares the hash with its own."""
    return _console().version


@route(blueprint, "/console", methods=["GET"], action=None)
def page() -> Response:
    """Return the page, which refers to its scripts and styles by version."""
    # The browser resolves relative URLs differently if the requested path ends with a slash.
    path = str(blueprint.current_request.context.get("path"))
    folder = "" if path.endswith("/") else "console/"
    console = _console()
    text = console.files[_PAGE].replace("{folder}", f"{folder}{console.version}")
    return _respond(_PAGE, text, "no-cache")


@route(blueprint, "/console/{version}/{name}", methods=["GET"], action=None)
def asset(version: str, name: str) -> Response:
    """Return a script, style sheet or other file. The file at a URL never changes."""
    console = _console()
    if version != console.version or name == _PAGE or name not in console.files:
        raise NotFound(
            "The current version of the console has no file at this URL. Reload the page."
        )
    return _respond(name, console.files[name], "public, max-age=31536000, immutable")


def _respond(name: str, text: str, caching: str) -> Response:
    content_type = _TYPES[Path(name).suffix]
    return Response(text, {**_HEADERS, "Content-Type": content_type, "Cache-Control": caching})
