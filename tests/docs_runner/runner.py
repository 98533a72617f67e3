"""Runs a page and compares the output with the documented output."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.docs_runner import pages, tables
from tests.docs_runner.pages import Block, Command
from tests.docs_runner.shell import Programs, Shell

# Values that differ from run to run are compared as if they were `…`.
_VARIABLE = (
    r"\b\d{12}\b",  # account
    r"(?<=https://)\w+(?=\.execute-api)",
    r"\b\d+(?= s\b)",
    r"\bpython3\.\d+",
    r"(?<=Makefile:)\d+",
)
_PROGRESS = " ..."
"""End of a line that is printed only if a step takes long."""


@dataclass
class Page:
    """A page and its shells.

    Attributes:
        path: The page.
        shell: The shell in which the reader enters the commands.
        programs: The programs that the reader starts in other shells.
        replacements: Values that replace the examples in the commands, by example.
        answers: Answers to the prompts of a command, by a part of the command.
        before: Functions that do what the prose tells the reader, by a part of the next command.
        output: The output of all commands so far.
    """

    path: object
    shell: Shell
    programs: Programs
    replacements: dict[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    output: str = ""

    def run(self):
        """Run the commands of the page in order.

        Raises:
            AssertionError: A command failed or printed something else than documented.
        """
        __tracebackhide__ = True
        for block in pages.read_blocks(self.path):
            self._run_block(block)

    def _run_block(self, block: Block):
        __tracebackhide__ = True
        replaces = True
        for command in pages.read_commands(block):
            if command.bare in tables.NOT_RUN:
                continue
            if (ready := ready_pattern(command)) is None:
                self._run_command(command)
                continue
            if replaces and not re.fullmatch(tables.CHALICE_LOCAL, command.bare):
                self.programs.interrupt()
            replaces = False
            self.programs.start(self._replace(command.bare), ready)

    def _run_command(self, command: Command):
        __tracebackhide__ = True
        for part, prepare in self.before.items():
            if part in command.text:
                prepare()
        answers = [text for part, text in self.answers.items() if part in command.text]
        fails = "Error: " in command.output
        status, output = self.shell.run(
            self._replace(command.text), answers="".join(answers), may_fail=fails
        )
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
    """Return the pattern of a program that runs until Ctrl-C; None for other commands."""
    for program, ready in tables.UNTIL_INTERRUPTED.items():
        if re.fullmatch(program, command.bare):
            return ready
    return None


def _find_problem(command: Command, status: int, output: str, *, fails: bool) -> str:
    if (status != 0) != fails:
        return "The command should fail." if fails else "The command failed."
    if output and not output.endswith("\n"):
        return "The output does not end with a newline."
    position, actual = 0, _normalize(output)
    for line in command.output.splitlines():
        if line.endswith(_PROGRESS):
            continue
        pattern = re.escape(_normalize(line)).replace("…", ".*?")
        if not (match := re.compile(pattern).search(actual, position)):
            return f"The output does not contain this line, or not in this place: {line}"
        position = match.end()
    return ""


def _normalize(text: str) -> str:
    """Return the text without values that vary and without spaces."""
    for pattern in _VARIABLE:
        text = re.sub(pattern, "0", text)
    return re.sub(r"\s", "", text)
