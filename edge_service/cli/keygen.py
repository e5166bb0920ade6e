"""`sentifyd-edge keygen`: print a key for `SEAL_KEYS`."""

from __future__ import annotations

import argparse

from edge_service.cli.parsing import Group, add_command, epilog
from edge_service.cli.terminal import print_result

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    return add_command(
        group,
        "keygen",
        "print a key for SEAL_KEYS",
        "Print a new key for SEAL_KEYS. To rotate keys: append the new key to SEAL_KEYS; move it\n"
        "to the front once every process has it; remove the old key a day later.",
        epilog("sentifyd-edge keygen > seal-keys", statuses={0: "success"}),
    )


def run(_: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.sealing import new_key

    print_result(new_key())
    return 0
