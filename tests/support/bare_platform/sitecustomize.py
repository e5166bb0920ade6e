"""Remove what Windows lacks; Python imports this first if the folder is in PYTHONPATH.

`KEEPS` names one thing that is not removed, such as `SIGHUP`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import NoReturn

MISSING = {
    select: ("poll", "epoll"),
    signal: (
        *("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGQUIT", "SIGPIPE", "SIGCHLD", "SIGALRM"),
        *("alarm", "setitimer", "siginterrupt", "sigwait", "pthread_kill", "pthread_sigmask"),
    ),
    os: (
        *("fork", "forkpty", "killpg", "getpgid", "setpgid", "setsid", "uname", "mkfifo"),
        *("getuid", "geteuid", "getgid", "getegid", "chown", "fchown", "fchmod", "statvfs"),
        *("sysconf", "getloadavg", "pread", "pwrite", "sched_getaffinity", "register_at_fork"),
        *("set_blocking", "get_blocking", "O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY"),
    ),
}
for module, names in MISSING.items():
    for name in names:
        if hasattr(module, name) and name != os.environ.get("KEEPS"):
            delattr(module, name)

for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "uvloop"):
    # Modules that are None here cannot be imported.
    sys.modules[name] = None  # type: ignore[assignment]


def _terminate(_: int, number: int) -> NoReturn:
    """Windows has no signals between processes: this ends the process, whatever its handlers."""
    os._exit(number)


os.kill = _terminate

# Imported after the removal, so that event loops cannot use poll either.
from asyncio import AbstractEventLoop, SelectorEventLoop  # noqa: E402

SelectorEventLoop.add_signal_handler = AbstractEventLoop.add_signal_handler  # type: ignore[method-assign]
SelectorEventLoop.add_reader = AbstractEventLoop.add_reader  # type: ignore[method-assign]
