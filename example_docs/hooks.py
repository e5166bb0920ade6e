"""MkDocs hooks for this site.

- Replace `<!-- help: sentifyd-edge serve -->` by the help of that command, generated from its
  parser, so that documentation and program always agree.
- Resolve links to source files in docstrings, which mkdocstrings does not do.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import textwrap
from collections.abc import Iterator

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

import edge_service.cli
import mkdocs_sentifyd.cli

# Columns of the help, independent of the terminal in which the site is built.
WIDTH = 80
_MARK = re.compile(r"^<!-- help: (.+?) -->$", re.MULTILINE)
_SOURCE = re.compile(r'href="((?:[\w.-]+/)*[\w-]+\.md)(#[^"]*)?"')
# A section of a parser's epilog: a title, and indented lines.
_SECTION = re.compile(r"^(\S.*):\n((?:[ ]+.*\n?|\n)+)", re.MULTILINE)
# Words to format as code: variables, options, file names, URLs.
_TYPED = re.compile(
    r"(?<![\w`/])(--[a-z-]+|[A-Za-z]+(?:_[A-Za-z]+)+|[\w./]+\.(?:yml|toml|html)|https?://\S*\w)"
)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the help comments of a page."""
    return _MARK.sub(lambda mark: command_help(mark[1]), markdown)


def on_page_content(html: str, page: Page, files: Files, **_: object) -> str:
    """Turn links to source files into links to pages."""

    def link(found: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), found[1]))
        file = files.get_file_from_path(source)
        if file is None:
            raise PluginError(
                f"{page.file.src_uri}: a docstring links to {source}, which is not a page"
            )
        anchor = found[2] or ""
        return f'href="{file.url_relative_to(page.file)}{anchor}"'

    return _SOURCE.sub(link, html)


def command_help(command: str) -> str:
    """Return a command's description, synopsis, options and examples in Markdown.

    Args:
        command: the program, a space, and the command.

    Raises:
        PluginError: the command does not exist.
    """
    try:
        parser = commands()[command]
    except KeyError:
        raise PluginError(f"no command {command!r}: use one of {', '.join(commands())}") from None
    return "\n\n".join(_parts(parser))


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of all commands of both programs, by program and command name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for program in (mkdocs_sentifyd.cli.parser(), edge_service.cli.parser()):
        for action in program._actions:  # noqa: SLF001 - argparse has no public access
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                found |= {parser.prog: parser for parser in action.choices.values()}
    return found


def _parts(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield _marked(" ".join((parser.description or "").split()))
    yield _block("text", _usage(parser))
    actions = [a for a in parser._actions if a.dest != "help"]  # noqa: SLF001
    if actions:
        rows = [f"| {_names(action)} | {_marked(_meaning(action, parser))} |" for action in actions]
        yield "\n".join(["| Argument | Meaning |", "|---|---|", *rows])
    for title, body in _SECTION.findall(parser.epilog or ""):
        lines = textwrap.dedent(body).strip().splitlines()
        if title == "examples":
            yield _block("sh", "\n".join(lines))
        else:
            named = [line.partition(" ") for line in lines]
            items = [f"- `{name}`: {_marked(meaning.strip())}" for name, _, meaning in named]
            yield "\n".join([f"{title.capitalize()}:", "", *items])


def _usage(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=WIDTH)
    vars(parser)["color"] = False  # Python 3.14 adds colours for terminals
    first, *others = parser.format_usage().splitlines()
    indent = len("usage: ")
    return "\n".join([first[indent:], *(line[indent:] for line in others)])


def _names(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"`{value}`"
    if action.nargs == 0:
        value = ""
    elif action.nargs == "?":
        value = f" [{value}]"
    else:
        value = f" {value}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    return (action.help or "") % {**vars(action), "prog": parser.prog}


def _marked(text: str) -> str:
    escaped = re.sub(r"([\\`*<|])", r"\\\1", text)
    return _TYPED.sub(r"`\1`", escaped)


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
