"""`sentifyd-edge sandbox`: run a local stand-in for Sentifyd."""

from __future__ import annotations

import argparse
import os

from edge_service.cli.parsing import STATUSES, Group, add_command, add_token_life, epilog, port
from edge_service.cli.terminal import print_problems, print_result, print_text

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "sandbox",
        "run a local stand-in for Sentifyd",
        "Run a local stand-in for Sentifyd: login API, web component and WebSocket. It listens\n"
        "on 127.0.0.1 only, and prints the settings for a token service and the plugin.",
        epilog(
            "sentifyd-edge sandbox",
            "sentifyd-edge sandbox --port 8090 --token-life 30 --api-key sandbox-only-key",
            statuses=STATUSES,
        ),
    )
    parser.add_argument(
        "--port",
        type=port,
        # argparse also parses a default that is a string, so it reports a malformed variable.
        default=os.environ.get("SANDBOX_PORT", "8090"),
        help="port to listen on, 0 for any free one (SANDBOX_PORT, 8090)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="API key that its login accepts (SANDBOX_API_KEY, sandbox-only-key)",
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
        return print_problems(str(error))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    shown = api_key if api_key == "sandbox-only-key" else "(the key that you chose)"

    def announce() -> None:
        print_text(
            f"Sentifyd sandbox on {base}; tokens expire after {options.token_life} s. Stop with "
            "Ctrl-C.",
            "",
            "To start a token service that logs in here, run in another terminal:",
        )
        print_result(
            f"  SENTIFYD_BACKEND={base} \\",
            f"  AVATAR_API_KEY={shown} \\",
            "  ALLOWED_ORIGINS=http://127.0.0.1:8000,http://localhost:8000 \\",
            "  sentifyd-edge serve",
        )
        print_text("", "To use the sandbox's component, add to the sentifyd section of mkdocs.yml:")
        print_result(f"  loader: {{url: {base}/sentifyd-bot/main.js}}")

    app = create_sandbox(Sandbox(api_key, options.token_life))
    serving.serve([(app, sock)], announce, websockets=True)
    return 0
