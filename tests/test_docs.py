"""The documentation matches the code, and its links and tables refer to existing files."""

import ast
import re
import sys
from pathlib import Path

import pytest

from app import app
from chalicelib import config
from chalicelib.domain import errors
from chalicelib.domain.auth import Role
from chalicelib.domain.reservations import MOVES, OBSERVED, Status
from chalicelib.usecases.list_reservations import DEFAULT_LIMIT, MAX_LIMIT
from tests.docs_runner import pages, tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SETTINGS = (DOCS / "settings.md").read_text(encoding="utf-8")
API = (DOCS / "api.md").read_text(encoding="utf-8")
STATES = (DOCS / "state-machine.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [
    *ROOT.glob("*.md"),
    *DOCS.rglob("*.md"),
    ROOT / "benchmarks" / "README.md",
    ROOT / "taskrouter_simulator" / "README.md",
]


@pytest.mark.parametrize("name", [*config.Settings.__annotations__, "SETTINGS_DEFAULTS"])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name.upper()}` |" in SETTINGS


def test_no_unknown_setting_is_documented() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", SETTINGS, re.MULTILINE))
    boto3_settings = {"AWS_ENDPOINT_URL_DYNAMODB"}
    app_settings = {name.upper() for name in config.Settings.__annotations__} | {
        "SETTINGS_DEFAULTS"
    }
    assert documented == app_settings | boto3_settings


def test_every_route_is_documented() -> None:
    for path, methods in app.routes.items():
        for method in methods.keys() - {"OPTIONS"}:
            assert re.search(rf"`[A-Z\\|]*{method}[A-Z\\|]* {re.escape(path)}`", API), (
                method,
                path,
            )


def test_every_error_code_is_documented() -> None:
    codes = {
        error.code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.AppError)
    }
    for code in codes:
        assert f"`{code}`" in API


def test_documented_retryable_errors_have_the_right_status() -> None:
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.AppError) and error.retry_after:
            assert f"| `{error.code}` | {error.status} |" in API


def test_documented_statuses_limits_and_roles_match_the_code() -> None:
    assert f"`{', '.join(Status)}`" in API
    assert f"| 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT} |" in API
    for role in Role:
        assert f"| `{role}` | " in API


def test_state_diagram_shows_exactly_the_observed_transitions() -> None:
    transitions = set(re.findall(r"^    (\w+) --> (\w+)$", STATES, re.MULTILINE))
    assert transitions == {(status, to) for status in Status for to in OBSERVED[status]}


def test_moves_table_matches_the_code() -> None:
    rows = re.findall(r"^\| (`[a-z`, ]+`) \| (`[a-z`, ]+`) \|$", STATES, re.MULTILINE)
    documented = {
        (status, to)
        for sources, targets in rows
        for status in re.findall(r"\w+", sources)
        for to in re.findall(r"\w+", targets)
    }
    assert documented == {(status, to) for status in Status for to in MOVES[status]}


CHANGES = CONTRIBUTING.partition("## Where does a change go?")[2].partition("\n## ")[0]
CHANGE_ROWS = re.findall(r"^\| (?!Change \||-)(.+?) \| (.+?) \| (.+?) \|$", CHANGES, re.MULTILINE)


def file_paths(text: str) -> list[str]:
    """Return the files and folders named in code spans."""
    return re.findall(r"`(Makefile|[\w./-]+(?:/|\.(?:py|js|md|toml|yaml|json)))`", text)


def test_changes_table_has_at_least_twelve_rows() -> None:
    assert len(CHANGE_ROWS) >= 12


@pytest.mark.parametrize(("change", "files", "tests"), CHANGE_ROWS)
def test_each_row_of_the_changes_table_names_existing_files_and_tests(
    change: str, files: str, tests: str
) -> None:
    assert file_paths(files), change
    assert [path for path in file_paths(tests) if path.startswith("tests/")], change
    assert [path for path in file_paths(files + tests) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_points_to_an_existing_file_and_heading(page: Path) -> None:
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")
    ):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_heading_of_a_page_is_unique(page: Path) -> None:
    anchor_list = anchors(page)
    assert [anchor for anchor in set(anchor_list) if anchor_list.count(anchor) > 1] == []


@pytest.mark.parametrize("chapter", ["For agents", "For supervisors"])
def test_each_chapter_for_users_of_the_console_fits_on_one_page(chapter: str) -> None:
    text = (DOCS / "console.md").read_text(encoding="utf-8")
    body = text.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
    words = [word for word in body.split() if any(map(str.isalnum, word))]
    assert 100 < len(words) <= 550
    assert f"\n## Details {chapter[0].lower()}{chapter[1:]}\n" in text


def anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    text = re.sub(
        "^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_make_target_has_help_text() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE))


def test_every_documented_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    command = r"(?:`|^\$ |^|[A-Z]\w+=\S+ )make ([a-z][\w-]*)(?=`| [A-Z]+=| +#|$)"
    documented = set(re.findall(command, text, re.MULTILINE))
    assert {"run", "deploy"} < documented <= targets


def test_domain_imports_only_the_standard_library_and_jmespath() -> None:
    imported = set()
    for file in (ROOT / "chalicelib" / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add(node.module)
    allowed = sys.stdlib_module_names | {"jmespath"}
    assert {
        name
        for name in imported
        if name.partition(".")[0] not in allowed and not f"{name}.".startswith("chalicelib.domain.")
    } == set()


BLOCKS = pages.all_blocks()
COMMANDS = [command for block in BLOCKS for command in pages.read_commands(block)]
CURL_COMMANDS = [command for command in COMMANDS if "curl " in command.text]
CURL_OPTIONS = {*"HXdsuw", "data-urlencode"}
"""The curl options that the pages may use. All of them work in curl 7.81, which lacks `--json`."""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_has_a_known_language(block: pages.Block) -> None:
    assert block.language in pages.LANGUAGES
    assert block.language == "console" or not re.search(r"^\$ ", block.text, re.MULTILINE)


def test_every_command_in_the_tables_is_documented() -> None:
    bare = [command.bare for command in COMMANDS]
    assert set(bare) >= tables.NOT_RUN.keys()
    for program in tables.UNTIL_INTERRUPTED:
        assert any(re.fullmatch(program, command) for command in bare), program


@pytest.mark.parametrize("command", CURL_COMMANDS, ids=str)
def test_documented_request_works_with_curl_7_81(command: pages.Command) -> None:
    assert curl_options(command.text) <= CURL_OPTIONS


@pytest.mark.parametrize("command", CURL_COMMANDS, ids=str)
def test_documented_request_prints_a_newline_after_the_response(command: pages.Command) -> None:
    requests = re.findall(r"curl [^|]*(?:\| *[\w./]+)?", command.text)
    assert requests
    for request in requests:
        _, _, reader = request.partition("|")
        is_shown = reader.strip() in {"", "tee"}
        assert not is_shown or re.search(r"curl -\w*w '\\n' ", request)


def curl_options(text: str) -> set[str]:
    """Return the option names in the curl commands that a string contains."""
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
    names = set()
    for request in re.findall(r"curl ([^|]*)", unquoted):
        for dashes, name in re.findall(r"(?<!\S)(--?)([\w-]+)", request):
            names |= {name} if dashes == "--" else set(name)
    return names


def test_curl_options_skip_quoted_text_and_other_commands() -> None:
    assert curl_options("curl -sd '--x' --json \"{}\" $API | tee -a f") == {"s", "d", "json"}


def test_curl_commands_are_documented_only_in_blocks() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert re.findall(r"`curl [^`]+`", text) == []
