"""Finds the fenced code blocks in the documentation, and the commands in them."""

import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

LANGUAGES = {"console", "js", "json", "mermaid", "python", "sh", "text", "toml", "yaml"}
"""Languages of the blocks. Commands are in "sh" blocks and, after `$ `, in "console" blocks."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced code block; `line` is the number of its first line."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command on a page; `output` is the documented output, if there is any."""

    page: str
    line: int
    text: str
    output: str = ""

    @property
    def bare(self) -> str:
        """The command without a trailing comment."""
        return re.sub(r"\s+# .*$", "", self.text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def read_blocks(path: Path) -> list[Block]:
    """Return the fenced code blocks on a page, in order."""
    page, blocks, opening, start = os.path.relpath(path, ROOT), [], None, 0
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not (fence := _FENCE.match(line)):
            continue
        if opening is None:
            opening, start = fence, number
        else:
            text = textwrap.dedent("\n".join(lines[start : number - 1]))
            blocks.append(Block(page, start + 1, opening["language"], text))
            opening = None
    assert opening is None, f"{page}:{start}: the code block is not closed"
    return blocks


def read_commands(block: Block) -> list[Command]:
    """Return the commands in an "sh" or "console" block; [] for other languages."""
    match block.language:
        case "sh":
            return list(_split(block))
        case "console":
            return list(_split_session(block))
    return []


def all_blocks() -> list[Block]:
    """Return the blocks on all pages."""
    return [block for path in PATHS for block in read_blocks(path)]


def _split(block: Block) -> Iterator[Command]:
    lines = enumerate(block.text.splitlines(), start=block.line)
    for number, line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            text = line
            while _continues(text):
                text = f"{text}\n{next(lines)[1]}"
            yield Command(block.page, number, text)


def _split_session(block: Block) -> Iterator[Command]:
    lines = list(enumerate(block.text.splitlines(), start=block.line))
    while lines:
        number, line = lines.pop(0)
        assert line.startswith("$ "), (
            f"{block.page}:{number}: expected a line that begins with `$ `: {line}"
        )
        text, output = line.removeprefix("$ "), []
        while _continues(text):
            text = f"{text}\n{lines.pop(0)[1]}"
        while lines and not lines[0][1].startswith("$ "):
            output.append(lines.pop(0)[1])
        yield Command(block.page, number, text, "\n".join(output))


def _continues(text: str) -> bool:
    """Return whether the command continues on the next line.

    A command continues after a backslash and within quotation marks.
    """
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False
