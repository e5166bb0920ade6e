"""The command line of `sentifyd-edge`: every command, its arguments, and its help."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

__all__ = ["Command", "build_parser"]

Command = Callable[[argparse.Namespace], int]
_STATUS = {
    0: "it ended as asked",
    2: "something must be mended first: one line for each mistake, on standard error",
    130: "Ctrl-C came before it was ready",
}


def build_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Args:
        commands: what runs each command, by its name.

    Returns:
        A parser whose result has `command`, which takes the result and returns an exit status.
    """
    parser = argparse.ArgumentParser(
        prog="sentifyd-edge",
        description="A token endpoint for Sentifyd avatars, and a sandbox to try it against.",
        epilog=_epilog(
            "sentifyd-edge serve --help",
            "sentifyd-edge sandbox",
            statuses=_STATUS,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = importlib.metadata.version("mkdocs-sentifyd")
    parser.add_argument(
        "--version",
        action="version",
        version=f"%(prog)s {version}",
        help="show the version and exit",
    )
    adders = {
        "serve": _serve,
        "doctor": _doctor,
        "keygen": _keygen,
        "sandbox": _sandbox,
        "preview": _preview,
        "demo": _demo,
    }
    group = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, add in adders.items():
        add(group).set_defaults(command=commands[name])
    return parser


# A class without another name, and generic in type stubs only.
_Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def _command(
    group: _Group, name: str, summary: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    return group.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _epilog(
    *examples: str, statuses: Mapping[int, str], variables: Mapping[str, str] | None = None
) -> str:
    """Sections of a title and indented lines."""
    sections = {"examples": list(examples)}
    if variables:
        width = max(map(len, variables))
        sections["environment"] = [f"{name:{width}}  {text}" for name, text in variables.items()]
    sections["exit status"] = [f"{number:<3}  {text}" for number, text in statuses.items()]
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
        for title, lines in sections.items()
    )


def _serve(group: _Group) -> argparse.ArgumentParser:
    parser = _command(
        group,
        "serve",
        "serve the token endpoint",
        "Serve the token endpoint. Environment variables hold its settings, two of which it\n"
        "needs. At a terminal it prints what to paste into mkdocs.yml; else it writes JSON\n"
        "lines. SIGTERM and Ctrl-C end it after what is under way; SIGHUP reads AVATARS_FILE\n"
        "again.",
        _epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge serve",
            "AVATARS_FILE=avatars.toml sentifyd-edge serve --host 0.0.0.0 --port 8080",
            variables={
                "AVATAR_API_KEY_FILE": "a file that holds the avatar's API key; "
                "or the key itself in AVATAR_API_KEY",
                "ALLOWED_ORIGINS": "origins of your sites, separated by commas",
                "AVATARS_FILE": "or, in place of both, a TOML file of several avatars",
            },
            statuses=_STATUS,
        ),
    )
    parser.add_argument("--host", help="address to listen on (HOST, 127.0.0.1)")
    # Checked with the variables, so that all mistakes are told at once.
    parser.add_argument("--port", help="port to listen on, 0 for any free one (PORT, 8080)")
    return parser


def _doctor(group: _Group) -> argparse.ArgumentParser:
    parser = _command(
        group,
        "doctor",
        "find out why there are no tokens",
        "Read the variables that serve reads, log each avatar in to Sentifyd once as the\n"
        "service would, and tell what came back and how to mend it. Redis, the issuer's keys\n"
        "and the certificates are tried too where they are set, and the clock is compared.\n"
        "No key, token or value is printed.",
        _epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge doctor",
            "sentifyd-edge doctor --json",
            statuses={
                0: "all is well",
                1: "there is something to mend",
                2: "the settings are wrong: a line for each mistake, on standard error or as JSON",
                130: "Ctrl-C ended it",
            },
        ),
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    return parser


def _keygen(group: _Group) -> argparse.ArgumentParser:
    return _command(
        group,
        "keygen",
        "print a key for SEAL_KEYS",
        "Print a new key for SEAL_KEYS. To rotate, append it to the keys that are there, move\n"
        "it to the front once every process knows it, and take the old one away a day later.",
        _epilog("sentifyd-edge keygen > seal-keys", statuses={0: "it printed a key"}),
    )


def _sandbox(group: _Group) -> argparse.ArgumentParser:
    parser = _command(
        group,
        "sandbox",
        "run a local stand-in for Sentifyd",
        "Run a local stand-in for Sentifyd: login API, web component and WebSocket. It listens\n"
        "on 127.0.0.1 only, and prints what points a token service and the plugin at it.",
        _epilog(
            "sentifyd-edge sandbox",
            "sentifyd-edge sandbox --port 8090 --token-life 30 --api-key sandbox-only-key",
            statuses=_STATUS,
        ),
    )
    parser.add_argument(
        "--port",
        type=_port,
        # argparse parses a default that is text, so that a malformed variable is told like an
        # argument.
        default=os.environ.get("SANDBOX_PORT", "8090"),
        help="port to listen on, 0 for any free one (SANDBOX_PORT, 8090)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="key that its login accepts (SANDBOX_API_KEY, sandbox-only-key)",
    )
    _add_token_life(parser)
    return parser


def _preview(group: _Group) -> argparse.ArgumentParser:
    parser = _command(
        group,
        "preview",
        "run sandbox and token service for a site under development",
        "Run a sandbox and a token service on two free ports of 127.0.0.1, for a site that is\n"
        "served on this machine. The first line on standard output is JSON and tells the\n"
        "addresses.",
        _epilog(
            "sentifyd-edge preview",
            "sentifyd-edge preview --origin http://127.0.0.1:8000 --origin http://localhost:8000",
            statuses=_STATUS,
        ),
    )
    parser.add_argument(
        "--origin",
        action="append",
        metavar="URL",
        help="whose pages get tokens; may be repeated (http://127.0.0.1:8000 and "
        "http://localhost:8000)",
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input is closed, and so with the program that started it",
    )
    return parser


def _demo(group: _Group) -> argparse.ArgumentParser:
    parser = _command(
        group,
        "demo",
        "show a documentation site with an avatar",
        "Build a documentation site, and serve it with a token endpoint and a sandbox on three\n"
        "ports of 127.0.0.1.",
        _epilog(
            "sentifyd-edge demo",
            "SITE_PORT=8001 sentifyd-edge demo --token-life 30 "
            "--config-file example_docs/mkdocs.yml",
            variables={
                "SITE_PORT": "port of the site (8000)",
                "EDGE_PORT": "port of the token endpoint (8080)",
                "SANDBOX_PORT": "port of the sandbox (8090)",
            },
            statuses=_STATUS,
        ),
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        metavar="FILE",
        help="the site (example_docs/mkdocs.yml)",
    )
    _add_token_life(parser)
    return parser


def _add_token_life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token-life",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="how long an access token lives, 1 to 3600 (30)",
    )


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _seconds(text: str) -> int:
    return _whole_number(text, 1, 3600)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
    return int(text)
