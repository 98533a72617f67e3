"""The routes that serve the console, their headers, and rules for the console's files."""

import gzip
import json
import re
import subprocess
import sys

import pytest

from chalicelib.routes import console
from chalicelib.routes.console import _console, _shorten
from tests.console.conftest import STAGE, call_app
from tests.console.vendor import CONSOLE, COPY

FILES = sorted(path.name for path in CONSOLE.iterdir())
LANGUAGE_FILES = [name for name in FILES if re.fullmatch(r"texts_\w+\.js", name)]
SEPARATE = ["timer_worker.js", *LANGUAGE_FILES]
MODULES = [name for name in FILES if name.endswith(".js") and name not in SEPARATE]
OWN_SCRIPTS = [name for name in (*MODULES, *SEPARATE) if name != COPY]
STYLES = [name for name in FILES if name.endswith(".css")]
SCRIPTS = ("console.js", "supervisor.js")
SERVED = {*FILES} - {*MODULES, *STYLES, "index.html"} | {*SCRIPTS, "console.css"}
MAX_COMPRESSED_BYTES = 83_000
FIRST_LOAD = (
    "index.html",
    "console.css",
    "console.js",
    "icon.svg",
    "icon-offers.svg",
    "timer_worker.js",
)
MAX_FIRST_LOAD = 60_000
MAX_FIRST_LOAD_OF_OTHER_LANGUAGES = 65_000
POLICY = {
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
    "trusted-types": "agent-console",
}


def read(name):
    return (CONSOLE / name).read_text(encoding="utf-8")


def asset_urls(page):
    return re.findall(r'(?:src|href)="([^"]*)"', page)


@pytest.mark.parametrize(
    ("path", "folder"), [("/console", f"{STAGE}/"), ("/console/", f"{STAGE}/console/")]
)
def test_page_links_to_files_under_the_stage_path_whether_or_not_its_url_ends_in_a_slash(
    path, folder
):
    status, page, headers = call_app(path)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    urls = asset_urls(page)
    assert len(urls) == 3
    for url in urls:
        absolute = folder + url
        assert re.fullmatch(rf"{STAGE}/console/[0-9a-f]{{16}}/[a-z.]+", absolute)
        assert call_app(absolute.removeprefix(STAGE))[0] == 200


@pytest.mark.parametrize("path", ["/console", "asset"])
def test_responses_have_strict_security_headers(path):
    _, page, headers = call_app("/console/")
    if path == "asset":
        _, _, headers = call_app(f"/console/{asset_urls(page)[0]}")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("name", sorted(SERVED))
def test_files_are_immutable_and_have_the_correct_content_type(name):
    version = asset_urls(call_app("/console/")[1])[0].split("/")[0]
    status, text, headers = call_app(f"/console/{version}/{name}")
    types = {
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
        "txt": "text/plain; charset=utf-8",
    }
    assert status == 200
    joined = name in (*SCRIPTS, *LANGUAGE_FILES, "console.css")
    assert joined or text.split() == read(name).split()
    assert headers["Content-Type"] == types[name.split(".")[-1]]
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["{}/index.html", "{}/main.js", "{}/..", "0123456789abcdef/console.js"]
)
def test_response_for_an_unserved_file_or_unknown_version_is_404_and_not_cached(path):
    version = asset_urls(call_app("/console/")[1])[0].split("/")[0]
    status, body, headers = call_app(f"/console/{path.format(version)}")
    assert status == 404
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Reload the page" in body


def test_version_changes_with_the_contents_and_the_name_of_a_file(tmp_path, monkeypatch):
    def version():
        console._console.cache_clear()
        return console.console_version()

    try:
        real = version()
        for name in FILES:
            (tmp_path / name).write_text(read(name), encoding="utf-8")
        monkeypatch.setattr(console, "_FOLDER", tmp_path)
        assert version() == real
        (tmp_path / "texts.js").write_text(read("texts.js") + "let changed;\n", encoding="utf-8")
        changed = version()
        (tmp_path / "icon.svg").rename(tmp_path / "icons.svg")
        assert len({real, changed, version()}) == 3
    finally:
        console._console.cache_clear()


def test_files_are_not_read_when_the_app_is_imported():
    program = (
        "import app; from chalicelib.routes import console; print(console._console.cache_info())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "currsize=0" in result.stdout


def test_files_are_small_when_compressed():
    files = _console().files
    sizes = {name: len(gzip.compress(text.encode())) for name, text in files.items()}
    assert set(files) == SERVED | {"index.html"}
    assert sum(sizes.values()) <= MAX_COMPRESSED_BYTES, sizes


def test_page_has_no_inline_script_or_style():
    page = read("index.html")
    assert "style=" not in page
    assert "<style" not in page
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    assert not re.search(r"\son\w+=", page)


@pytest.mark.parametrize("name", OWN_SCRIPTS)
def test_scripts_use_no_dangerous_function_or_foreign_host(name):
    code = read(name)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(", code
    )
    assert not re.search(r"dangerouslySetInnerHTML|style=|https?://", code)


def first_declaration(name):
    """Return the first line of a module's first declaration."""
    pattern = r"^(?:export )?((?:async )?(?:const|let|function|class) .*)\n"
    return _shorten(re.search(pattern, read(name), re.MULTILINE)[1])


def test_scripts_contain_each_module_after_the_modules_that_it_imports():
    scripts = "\n".join(_console().files[name] for name in SCRIPTS)
    declarations = {name: first_declaration(name) for name in MODULES}
    assert [name for name in MODULES if scripts.count(declarations[name]) != 1] == []
    for name in MODULES:
        for imported in re.findall(r' from "\./(.+?)"', read(name)):
            before, after = (scripts.index(declarations[each]) for each in (imported, name))
            assert before < after, (name, imported)


def test_supervisor_script_imports_all_exports_of_the_console_script():
    console, supervisor = (_console().files[name] for name in SCRIPTS)
    statements = re.findall(r"^(?:import|export) .*", console + supervisor, re.MULTILINE)
    shared = statements[0].removeprefix("export ").removesuffix(";")
    own = "export { SUPERVISOR_PAGES };"
    assert statements == [f"export {shared};", f'import {shared} from "./console.js";', own]
    assert "isSupervisor" in shared or "openDialog" in shared
    assert "SUPERVISOR_PAGES = {" not in console


@pytest.mark.parametrize("language", [[], *([name] for name in LANGUAGE_FILES)])
def test_first_load_for_an_agent_is_small(language):
    files = _console().files
    names = [*FIRST_LOAD, *language]
    limit = MAX_FIRST_LOAD_OF_OTHER_LANGUAGES if language else MAX_FIRST_LOAD
    assert sum(len(gzip.compress(files[name].encode())) for name in names) <= limit


@pytest.mark.parametrize("served", [*SCRIPTS, "console.css"])
def test_served_files_have_no_comments_except_about_licenses(served):
    lines = _console().files[served].splitlines()
    comments = [line for line in lines if re.match(r" *(//|/\*|\* )", line)]
    assert len(comments) == (2 if served == "console.js" else 0)
    assert all("see licenses.txt" in line for line in comments)


def test_served_style_sheet_starts_with_the_common_rules_and_contains_every_css_file():
    served = _console().files["console.css"]
    assert served.startswith(":root{color-scheme:light dark;")
    for name in STYLES:
        last = read(name).strip().rpartition("\n\n")[2]
        assert re.sub(r"(?<=[{},;:])\s+| (?={)|;\s*(?=})", "", last) in served


def test_top_level_names_occur_in_only_one_module():
    # The modules of a script share one scope, and the supervisor's script imports the names of the
    # other script.
    pattern = r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)"
    names = [name for module in MODULES for name in re.findall(pattern, read(module), re.MULTILINE)]
    assert [name for name in set(names) if names.count(name) > 1] == []


def texts(name):
    """Return the keys and texts in a file, in the file's order."""
    return re.findall(r'^ +(\w+): "(.*)",$', read(name), re.MULTILINE)


def test_text_keys_are_unique_in_each_language():
    for name in ("texts.js", *LANGUAGE_FILES):
        keys = [key for key, _ in texts(name)]
        assert len(keys) > 100
        assert [key for key in set(keys) if keys.count(key) > 1] == []


def test_each_language_in_the_settings_has_a_file():
    names = re.search(r"LANGUAGES = \{(.*)\}", read("preferences.js"))[1]
    assert re.findall(r"(\w+):", names) == ["en", *(name[6:-3] for name in LANGUAGE_FILES)]


@pytest.mark.parametrize("name", LANGUAGE_FILES)
def test_language_file_is_served_as_a_list_of_texts_in_the_order_of_the_keys(name):
    values = _console().files[name].removeprefix("export default ").removesuffix(";\n")
    assert json.loads(values) == [json.loads(f'"{text}"') for _, text in texts(name)]


@pytest.mark.parametrize("name", LANGUAGE_FILES)
def test_languages_have_the_same_keys_and_placeholders(name):
    english, other = texts("texts.js"), dict(texts(name))
    assert [key for key, _ in english] == list(other)
    for key, text in english:
        placeholders = [sorted(re.findall(r"\{\w+\}", each)) for each in (text, other[key])]
        assert placeholders[0] == placeholders[1], key


def test_every_text_gets_a_value_for_each_placeholder():
    """Calls with a key that the code computes are not checked."""
    code = "".join(read(name) for name in OWN_SCRIPTS if not name.startswith("texts"))
    incomplete = []
    for key, words in texts("texts.js"):
        for values in re.findall(rf'\btext\("{key}"(?:, \{{(.*?)\}})?\)', code):
            missing = set(re.findall(r"\{(\w+)\}", words)) - set(re.findall(r"\w+", values))
            incomplete += [(key, name) for name in missing]
    assert incomplete == []


def test_every_text_is_used():
    code = "".join(read(name) for name in OWN_SCRIPTS if not name.startswith("texts"))
    names = set(re.findall(r"\b\w+\b", code))
    assert [key for key, _ in texts("texts.js") if key not in names] == []
