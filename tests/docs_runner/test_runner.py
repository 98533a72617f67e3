"""The runner of documented commands preserves the shell's state and reports failures."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.docs_runner import checkout
from tests.docs_runner.runner import Page
from tests.docs_runner.shell import Programs, Shell


@pytest.fixture
def run(tmp_path):
    """A function that runs the blocks of a page, given as pairs of language and text."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    environ = checkout.environ(tmp_path / "bin")
    shell, programs = Shell.start(folder, environ), Programs(folder, environ)

    def run(*blocks, **options):
        path = tmp_path / "page.md"
        text = "".join(f"Text.\n\n```{language}\n{text}\n```\n\n" for language, text in blocks)
        path.write_text(text, encoding="utf-8")
        Page(path, shell, programs, **options).run()

    yield run
    shell.end()
    programs.kill()


@pytest.fixture
def missing_url():
    """URL of a server that returns 404 for every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"absent\n")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_variables_functions_and_folder_carry_over_between_blocks(run):
    run(
        ("sh", "NAME=Alice\ngreet() { echo hello $NAME; }\nmkdir sub\ncd sub"),
        ("console", "$ greet\nhello Alice\n$ pwd\n…/sub"),
    )


def test_failed_command_is_reported_with_its_location_and_its_exit_code_and_output(run):
    with pytest.raises(AssertionError) as failure:
        run(("json", "{}"), ("sh", "true\n\n# A comment.\nls absent | cat"))
    assert "page.md:13: ls absent | cat\n" in str(failure.value)
    assert "Exit code: 2. Output:\nls: " in str(failure.value)


def test_undefined_variable_is_an_error(run):
    with pytest.raises(AssertionError, match="UNDEFINED"):
        run(("sh", "echo $UNDEFINED"))


def test_http_error_is_reported_even_in_a_pipe(run, missing_url):
    with pytest.raises(AssertionError, match=r"Exit code: 22. Output:\nabsent"):
        run(("sh", f"curl -s {missing_url} | cat"))


def test_output_without_a_final_newline_is_reported(run):
    with pytest.raises(AssertionError, match="does not end with a newline"):
        run(("sh", "printf x"))


def test_documented_lines_must_appear_in_order(run):
    printed = "$ printf 'one 123456789012\\n  two\\nthree\\n'\n"
    run(("console", f"{printed}one 999999999999\nstill working ...\nt…o\nthree"))
    with pytest.raises(AssertionError, match="at the documented position: one"):
        run(("console", f"{printed}two\none"))


def test_documented_error_must_occur(run):
    run(("console", "$ echo Error: no; false\nError: no\n$ echo next\nnext"))
    with pytest.raises(AssertionError, match="did not fail"):
        run(("console", "$ echo Error: no\nError: no"))


def test_prompts_are_answered_and_example_values_are_replaced(run):
    answers, replacements = {"read": "blue\n"}, {"PLACE": "here and THERE", "THERE": "x"}
    run(
        ("console", "$ read color; echo $color PLACE\nblue here and THERE"),
        answers=answers,
        replacements=replacements,
    )


def test_multiline_command_is_run_as_one_command(run):
    run(("console", "$ echo 'one\ntwo' \\\n  three\none\ntwo three"))


def test_program_that_ends_before_it_is_ready_is_reported(run):
    with pytest.raises(AssertionError, match="make run: the program has ended"):
        run(("sh", "make run"))
