"""Code blocks of README and documentation, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<ticks>`{3,}|~{3,})[ ]*(?P<language>[\w.+-]*)(?P<info>.*)$"
)
_NOT_RUN = re.compile(r"<!-- not run:\s*(.*?)\s*-->$")
_OUTPUT = re.compile(r"<!-- output: (.+?) -->$")
_HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?^\s*\2$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"(?<!\S)#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the path of its file in the project.
        line: the number of its first line.
        language: the first word after the fence.
        text: its content, without the indentation of the fence.
        not_run: the reason in the line before it why no test runs it; `None` without such a line.
        output_of: the command in the line before it whose output this is.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None
    output_of: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_snippet(self) -> bool:
        """Whether it shows a file of the project, whole or in part."""
        return self.text.lstrip().startswith("--8<-- ")


def pages() -> Iterator[Path]:
    """Every page whose examples are run."""
    yield from (ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))
    yield from sorted((ROOT / "example_docs" / "docs").rglob("*.md"))


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, in these languages or in any."""
    found = [block for page in pages() if page.exists() for block in _blocks(page)]
    return [block for block in found if not languages or block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    before = ""
    for number, line in lines:
        if fence := _FENCE.match(line):
            indent, ticks = len(fence["indent"]), fence["ticks"]
            inside = []
            for _, text in lines:
                if text.strip() == ticks:
                    break
                inside.append(text[indent:])
            name = page.relative_to(ROOT).as_posix()
            not_run, output = _NOT_RUN.search(before), _OUTPUT.search(before)
            yield Block(
                *(name, number, fence["language"], "\n".join(inside) + "\n"),
                not_run[1] if not_run else None,
                output[1] if output else None,
            )
        if line.strip():
            before = line.strip()


@dataclass(frozen=True)
class CommandLine:
    """A simple shell command: its variables and its words, of which one may be empty."""

    variables: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        return Path(self.words[0]).name if self.words else ""


def command_lines(text: str) -> Iterator[CommandLine]:
    """The simple commands of a script, including those in `$( )` and targets of redirections."""
    text = _COMMENT.sub("", _HERE.sub("", text)).replace("\\\n", " ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for token in [*lexer, "\n"]:
        if not set(token) <= set("();<>|&\n"):
            words.append(token)
        elif words:
            yield _command_line(words)
            words = []


def _command_line(words: list[str]) -> CommandLine:
    if words[0] in ("export", "exec", "sudo", "time", "env"):
        words = words[1:]
    variables = {}
    while words and (assigned := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", words[0], re.DOTALL)):
        variables[assigned[1]] = assigned[2]
        words = words[1:]
    return CommandLine(variables, tuple(words))
