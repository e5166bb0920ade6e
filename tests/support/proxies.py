"""Real proxies that run committed configuration files, with other paths and ports in them."""

from __future__ import annotations

import os
import shutil
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Self

from tests.support import missing
from tests.support.processes import Command


class Proxy(ABC):
    """A running proxy, for the length of a `with` block.

    Args:
        folder: for all files that it reads and writes.
        files: configuration files, by their path below `folder`.
        changes: texts to replace in the files; each must be in one of them.
    """

    program: ClassVar[str]
    package: ClassVar[str]
    # What it writes when it accepts connections.
    ready: ClassVar[str]
    _command: Command

    def __init__(self, folder: Path, files: Mapping[str, Path], changes: Mapping[str, str]) -> None:
        self.folder = folder
        self._executable = executable(self.program, self.package)
        unused = set(changes)
        for name, file in files.items():
            text = file.read_text(encoding="utf-8")
            for old, new in changes.items():
                if old in text:
                    unused.discard(old)
                    text = text.replace(old, new)
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        assert not unused, f"not in the configuration: {unused}"

    @abstractmethod
    def arguments(self) -> tuple[str, ...]:
        """What follows its name on the command line."""

    def __enter__(self) -> Self:
        # Caddy would write into the home folder.
        homes = dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(self.folder / "home"))
        with ExitStack() as unless_ready:
            command = Command(self._executable, *self.arguments(), **homes)
            self._command = unless_ready.enter_context(command)
            command.wait_for(self.ready)
            unless_ready.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        status = self._command.stop(signal.SIGTERM)
        assert status == 0, self._command.output

    def wait_for(self, pattern: str) -> None:
        """Wait for the first match in the lines of its output that follow."""
        self._command.wait_for(pattern)

    @property
    def output(self) -> str:
        """Its output on standard output and standard error."""
        return self._command.output

    def log(self, name: str) -> str:
        """The content of a log file in the folder `log`."""
        return (self.folder / "log" / name).read_text(encoding="utf-8")

    def everything_written(self) -> str:
        """Every file of its folder, and its output."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return "\n".join([*(path.read_text("latin-1") for path in files), self.output])


class Caddy(Proxy):
    """A running Caddy with the file `Caddyfile` of its folder."""

    program = package = "caddy"
    ready = "serving initial configuration"

    def arguments(self) -> tuple[str, ...]:
        return "run", "--config", str(self.folder / "Caddyfile")


class HAProxy(Proxy):
    """A running HAProxy with the file `haproxy.cfg` of its folder."""

    program = package = "haproxy"
    ready = "Loading success"

    def arguments(self) -> tuple[str, ...]:
        return "-W", "-db", "-f", str(self.folder / "haproxy.cfg")


def executable(program: str, package: str) -> str:
    """The path of a proxy.

    Args:
        program: the name of its file.
        package: the name of its package in Debian.
    """
    # Debian installs it in a folder that is only in root's PATH.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    if (found := shutil.which(program, path=path)) is None:
        missing.skip(f"no {program}: run 'sudo apt-get install {package}'")
    return found
