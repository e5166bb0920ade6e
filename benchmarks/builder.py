"""Run builds in children of one warm process, in the environment of the peers.

The parent imports what every build imports, because measuring these imports would add noise and
make each ratio look better. The imports of a plugin happen in its own child, so they count.

Each line on stdin lists configurations and their plugins, which are built at once. The answer on
stdout lists the resources that each build used.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any, ParamSpec, TypeVar, cast
from unittest.mock import patch

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.plugins import BasePlugin

P = ParamSpec("P")
T = TypeVar("T")


class Clock:
    """Measure CPU seconds inside the plugin under test: for loading it, and in its events."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.load = self.events = 0.0

    def run(self, config_file: str) -> None:
        """Do what `mkdocs build --strict` does, and measure the time inside the plugin."""
        load_entry = EntryPoint.load

        def load(entry: EntryPoint) -> type[BasePlugin[Any]]:
            if entry.name != self.plugin:
                return cast("type[BasePlugin[Any]]", load_entry(entry))
            found: type[BasePlugin[Any]] = self.timed("load", load_entry)(entry)
            patch.object(found, "load_config", self.timed("load", found.load_config)).start()
            return found

        patch.object(EntryPoint, "load", load).start()
        config = load_config(config_file, strict=True)
        if self.plugin:
            plugin = config.plugins[self.plugin]
            for methods in config.plugins.events.values():
                for index, method in enumerate(methods):
                    if getattr(method, "__self__", None) is plugin:
                        methods[index] = self.timed("events", method)
        config.plugins.on_startup(command="build", dirty=False)
        try:
            build(config)
        finally:
            config.plugins.on_shutdown()

    def timed(self, part: str, function: Callable[P, T]) -> Callable[P, T]:
        def inner(*args: P.args, **options: P.kwargs) -> T:
            start = time.process_time()
            try:
                return function(*args, **options)
            finally:
                setattr(self, part, getattr(self, part) + time.process_time() - start)

        return inner


class Child:
    """A forked process that does some work."""

    def __init__(self, work: Callable[[], object]) -> None:
        reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            status = 1
            try:
                os.write(writing, json.dumps(work()).encode())
                status = 0
            except BaseException:  # noqa: BLE001 - the child must not run the parent's code
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        os.close(writing)
        self._pipe = os.fdopen(reading)

    def result(self) -> tuple[Any, resource.struct_rusage]:
        """Wait for the end of the work; return its result and the resources that it used."""
        with self._pipe:
            answer = self._pipe.read()
        _, status, usage = os.wait4(self._pid, 0)
        if status:
            raise SystemExit(1)
        return json.loads(answer), usage


def build_in_child(config_file: str, plugin: str) -> Child:
    def work() -> dict[str, float]:
        clock = Clock(plugin)
        clock.run(config_file)
        return {"load": clock.load, "events": clock.events}

    return Child(work)


def import_what_builds_import(config_file: str) -> None:
    def work() -> list[str]:
        Clock("").run(config_file)
        return sorted(sys.modules)

    names, _ = Child(work).result()
    for name in names:
        # Some packages register modules that cannot be imported by name.
        with suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    cpu, plain = sys.argv[1:]
    os.sched_setaffinity(0, {int(cpu)})
    import_what_builds_import(plain)
    gc.collect()
    # Otherwise a garbage collection in a child would write to, and so copy, all inherited memory.
    gc.freeze()
    for line in sys.stdin:
        children = [build_in_child(config_file, plugin) for config_file, plugin in json.loads(line)]
        builds = []
        for child in children:
            times, usage = child.result()
            cpu_time = usage.ru_utime + usage.ru_stime
            builds.append({**times, "cpu": cpu_time, "memory": usage.ru_maxrss})
        print(json.dumps(builds), flush=True)


if __name__ == "__main__":
    main()
