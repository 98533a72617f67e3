"""Runs the commands on a page and compares the output with the documented output."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.docs_runner import pages, tables, terminal
from tests.docs_runner.pages import Block, Command
from tests.docs_runner.shell import Programs, Shell

# Values that differ between runs are replaced in both outputs before the comparison.
_VARYING_VALUES = (
    r"\b\d{12}\b",  # account ID
    r"(?<=https://)\w+(?=\.execute-api)",
    r"\b\d+(?= s\b)",
    r"\bpython3\.\d+",
    r"(?<=Makefile:)\d+",
)
_PROGRESS = " ..."
"""Suffix of documented lines that are printed only if a step takes a long time."""


@dataclass
class Page:
    """A page, and the shells in which its commands run.

    Attributes:
        path: The path of the page.
        shell: The shell in which the reader enters the commands.
        programs: The programs that the reader starts in other shells.
        replacements: Values that replace example values in the commands. The keys are the examples.
        answers: Answers to the prompts of a command. The keys are parts of commands.
        dialogs: Questions and answers for the commands that run in a terminal, in the format of
            `terminal.run`. The keys are commands.
        before: Functions that are called before a command, for steps that the page describes in
            prose. The keys are parts of commands.
        output: The output of all commands so far.
    """

    path: object
    shell: Shell
    programs: Programs
    replacements: dict[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    dialogs: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    output: str = ""

    def run(self):
        """Run the commands on the page in order.

        Raises:
            AssertionError: A command did not exit as documented, or its output lacked a documented
                line or the final newline.
        """
        __tracebackhide__ = True
        for block in pages.read_blocks(self.path):
            self._run_block(block)

    def _run_block(self, block: Block):
        __tracebackhide__ = True
        is_first_program = True
        for command in pages.read_commands(block):
            if command.bare in tables.NOT_RUN:
                continue
            if (ready := ready_pattern(command)) is None:
                self._run_command(command)
                continue
            if is_first_program and not re.fullmatch(tables.CHALICE_LOCAL, command.bare):
                self.programs.interrupt()
            is_first_program = False
            self.programs.start(self._replace(command.bare), ready)

    def _run_command(self, command: Command):
        __tracebackhide__ = True
        for part, prepare in self.before.items():
            if part in command.text:
                prepare()
        answers = [text for part, text in self.answers.items() if part in command.text]
        fails = "Error: " in command.output
        text = self._replace(command.text)
        if command.text in self.dialogs:
            status, output = terminal.run(
                text,
                folder=self.programs.folder,
                environ=self.programs.environ,
                answers=self.dialogs[command.text],
            )
        else:
            status, output = self.shell.run(text, answers="".join(answers), may_fail=fails)
        self.output += output
        problem = _find_problem(command, status, output, fails=fails)
        assert not problem, f"{command}\n{problem} Exit code: {status}. Output:\n{output}"

    def _replace(self, text: str) -> str:
        if not self.replacements:
            return text
        # In one pass, because a value may contain another example.
        examples = "|".join(map(re.escape, self.replacements))
        return re.sub(examples, lambda match: self.replacements[match[0]], text)


def ready_pattern(command: Command) -> str | None:
    """Return the readiness pattern of a program that runs until Ctrl-C, or None."""
    for program, ready in tables.UNTIL_INTERRUPTED.items():
        if re.fullmatch(program, command.bare):
            return ready
    return None


def _find_problem(command: Command, status: int, output: str, *, fails: bool) -> str:
    if (status != 0) != fails:
        return "The command did not fail." if fails else "The command failed."
    if output and not output.endswith("\n"):
        return "The output does not end with a newline."
    position, actual = 0, _normalize(output)
    for line in command.output.splitlines():
        if line.endswith(_PROGRESS):
            continue
        pattern = re.escape(_normalize(line)).replace("…", ".*?")
        if not (match := re.compile(pattern).search(actual, position)):
            return f"The output does not contain this line at the documented position: {line}"
        position = match.end()
    return ""


def _normalize(text: str) -> str:
    """Replace the values that differ between runs, and remove all whitespace."""
    for pattern in _VARYING_VALUES:
        text = re.sub(pattern, "0", text)
    return re.sub(r"\s", "", text)
