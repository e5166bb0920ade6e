"""`sentifyd-edge sandbox`: run a local stand-in for Sentifyd."""

from __future__ import annotations

import argparse
import os

from edge_service.cli.parsing import STATUSES, Group, add_command, add_token_life, epilog, port
from edge_service.cli.terminal import complain, say

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "sandbox",
        "run a local stand-in for Sentifyd",
        "Run a local stand-in for Sentifyd: login API, web component and WebSocket. It listens\n"
        "on 127.0.0.1 only, and prints what points a token service and the plugin at it.",
        epilog(
            "sentifyd-edge sandbox",
            "sentifyd-edge sandbox --port 8090 --token-life 30 --api-key sandbox-only-key",
            statuses=STATUSES,
        ),
    )
    parser.add_argument(
        "--port",
        type=port,
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
    add_token_life(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.sandbox.app import Sandbox, create_sandbox
    from edge_service.server import serving

    api_key = options.api_key or os.environ.get("SANDBOX_API_KEY") or "sandbox-only-key"
    try:
        sock = serving.bind("127.0.0.1", options.port, "--port or SANDBOX_PORT")
    except serving.AddressUnavailable as error:
        return complain(str(error))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    shown = api_key if api_key == "sandbox-only-key" else "(the key that you chose)"

    def announce() -> None:
        say(
            f"Sentifyd sandbox on {base}; tokens live {options.token_life} s. Stop with Ctrl-C.",
            "",
            "A token service that logs in here, to start in another terminal:",
            f"  SENTIFYD_BACKEND={base} AVATAR_API_KEY={shown} \\",
            "  ALLOWED_ORIGINS=http://127.0.0.1:8000,http://localhost:8000 sentifyd-edge serve",
            "",
            "The component for the plugin, in the sentifyd section of mkdocs.yml:",
            f"  loader: {{url: {base}/sentifyd-bot/main.js}}",
        )

    app = create_sandbox(Sandbox(api_key, options.token_life))
    serving.serve([(app, sock)], announce, websockets=True)
    return 0
