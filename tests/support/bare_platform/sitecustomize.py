"""Take away what Windows lacks; Python imports this first when the folder is in PYTHONPATH.

`KEEPS` names one thing that stays, such as `SIGHUP`.
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
    # What is None here cannot be imported.
    sys.modules[name] = None  # type: ignore[assignment]


def _terminate(_: int, number: int) -> NoReturn:
    """Windows knows no signals between processes: this ends the process, handler or not."""
    os._exit(number)


os.kill = _terminate

# Only now, so that event loops find no poll either.
from asyncio import AbstractEventLoop, SelectorEventLoop  # noqa: E402

SelectorEventLoop.add_signal_handler = AbstractEventLoop.add_signal_handler  # type: ignore[method-assign]
