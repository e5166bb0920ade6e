"""MkDocs hooks for this site.

- Replace `<!-- help: sentifyd-edge serve -->` by the help of that command, generated from its
  parser, so that documentation and program always agree.
- Replace `<!-- answers -->` by the table of the service's errors, generated from
  `edge_service.errors`, and `<!-- findings -->` by that of `mkdocs-sentifyd check`, generated from
  `mkdocs_sentifyd.check.findings`.
- Replace `<!-- hosts -->` and `<!-- contacts -->` by tables of the hosts of each component,
  generated from `mkdocs_sentifyd.components`: one for a policy, one for visitors.
- Resolve links to source files in docstrings, which mkdocstrings does not do.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import textwrap
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

import edge_service.cli
import mkdocs_sentifyd.cli
from edge_service.errors import ServiceError, UpstreamRejected
from mkdocs_sentifyd.check.findings import KINDS
from mkdocs_sentifyd.components import COMPONENTS, Component, Host

# Columns of the help, independent of the terminal in which the site is built.
WIDTH = 80
_MARK = re.compile(
    r"^<!-- (?:help: (?P<command>.+?)|(?P<table>answers|findings|hosts|contacts)) -->$",
    re.MULTILINE,
)
_SOURCE = re.compile(r'href="((?:[\w.-]+/)*[\w-]+\.md)(#[^"]*)?"')
# A section of a parser's epilog: a title, and indented lines.
_SECTION = re.compile(r"^(\S.*):\n((?:[ ]+.*\n?|\n)+)", re.MULTILINE)
# Words to format as code: variables, options, file names, URLs.
_TYPED = re.compile(
    r"(?<![\w`/])(--[a-z-]+|[A-Za-z]+(?:_[A-Za-z]+)+(?:=\w+)?|[\w./]+\.(?:yml|toml|html)|https?://\S*\w)"
)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marks of a page by generated text."""
    tables = {"answers": answers, "findings": findings, "hosts": hosts, "contacts": contacts}

    def replaced(mark: re.Match[str]) -> str:
        return command_help(mark["command"]) if mark["command"] else tables[mark["table"]]()

    return _MARK.sub(replaced, markdown)


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


def answers() -> str:
    """A table of every error that the token service answers with, in Markdown."""
    rows = []
    for kind in errors():
        # Sentifyd's own status is passed on.
        status = "400 to 599" if kind is UpstreamRejected else str(kind.status)
        rows.append((kind.code, status, kind.error, kind.fix))
    return _table(("Code", "Status", "Message", "How to fix it"), rows)


def errors() -> list[type[ServiceError]]:
    """Every class of an answer, by code; without those that only others inherit from."""
    found: list[type[ServiceError]] = [ServiceError]
    for kind in found:
        found += kind.__subclasses__()
    own = [kind for kind in found if "error" in vars(kind)]
    return sorted(own, key=lambda kind: kind.code)


def findings() -> str:
    """A table of everything that `mkdocs-sentifyd check` can find, in Markdown."""
    rows = [
        (kind.code or key, kind.severity.value, kind.what, kind.fix) for key, kind in KINDS.items()
    ]
    return _table(("Code", "Severity", "What it found", "How to fix it"), rows)


def hosts() -> str:
    """A table of what a policy must allow for each component, in Markdown."""
    lines = ["| Component | Source | Directive | Evidence |", "|---|---|---|---|"]
    for component, host in _hosts():
        sources, directives = (
            ", ".join(f"`{name}`" for name in names) for names in (host.sources, host.directives)
        )
        lines.append(f"| {component} | {sources} | {directives} | {_evidence(host)} |")
    return "\n".join(lines)


def contacts() -> str:
    """A table of who gets a visitor's address from each component, in Markdown."""
    lines = ["| Component | Host | For | Evidence |", "|---|---|---|---|"]
    for component, host in _hosts():
        name = f"`{host.name}` ({host.operator})"
        lines.append(f"| {component} | {name} | {host.purpose} | {_evidence(host)} |")
    return "\n".join(lines)


def _hosts() -> Iterator[tuple[str, Host]]:
    """Each component's element and hosts, the loader's first."""
    for component in COMPONENTS.values():
        for host in (_loader(component), *component.hosts):
            yield f"`<{component.element}>`", host


def _loader(component: Component) -> Host:
    name = urlsplit(component.loader).netloc
    return Host(name, "Sentifyd", "the loader, unless `loader.url` is set", ("script-src",))


def _evidence(host: Host) -> str:
    return "observed" if host.is_observed else "only named"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, str, str, str]]) -> str:
    """A table whose first column holds codes; the first row of each code is its anchor."""
    lines, anchors = [f"| {' | '.join(head)} |", "|---|---|---|---|"], set[str]()
    for code, short, text, fix in rows:
        anchor = "" if code in anchors else f"{{#{code}}}"
        anchors.add(code)
        fix = fix[:1].upper() + fix[1:].rstrip(".") + "."
        lines.append(f"| `{code}`{anchor} | {short} | {_message(text)} | {_message(fix)} |")
    return "\n".join(lines)


def _message(template: str) -> str:
    """A message in Markdown: code stays code, and `{name}`, for which it has a value, is italic."""
    parts = re.split(r"`(.+?)`", template)
    # MkDocs reads the Markdown of a page as HTML, where `<![` is an error even in backticks.
    parts[::2] = [_marked(text).replace("\\<", "&lt;") for text in parts[::2]]
    parts[1::2] = [f"<code>{escape(text)}</code>" for text in parts[1::2]]
    return "".join(parts).format_map(_Italics())


class _Italics(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"*{name}*"


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
