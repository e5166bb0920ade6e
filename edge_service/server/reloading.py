"""Serves an application that can be replaced by one with other settings, while requests run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path

import structlog
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from edge_service.app import application
from edge_service.parts import Parts
from edge_service.server.watching import changes
from edge_service.settings import Settings, SettingsError
from edge_service.settings.env_file import Source
from edge_service.settings.environment import Environment, near_misses
from edge_service.settings.variables import Variables
from edge_service.telemetry.logs import (
    change_logging,
    log_env_file,
    log_near_misses,
    log_reload,
)

__all__ = ["Loaded", "Reloadable", "is_of_traces"]

RETRY_SECONDS = 30.0
_FIXED = (Variables.HOST.name, Variables.PORT.name, Variables.METRICS_PORT.name)
_FIXED_PREFIX = "OTEL_"


class Loaded:
    """The settings at one moment, with everything that they were read from.

    Args:
        source: where the variables come from.

    Attributes:
        settings: what the variables mean; only after `read`.
        environ: all variables; empty if the file could not be read.
    """

    settings: Settings

    def __init__(self, source: Source) -> None:
        self._source = source
        self.environ: dict[str, str] = {}
        self._shadowed: list[str] = []
        self._is_exposed = False
        self._certificates: list[Path] = []
        self._env = Environment({})
        self._files = [] if source.path is None else [source.path]

    @property
    def files(self) -> list[Path]:
        """Every file that was read, or should have been.

        Certificates alone are not among them: the variable often belongs to the whole machine.
        """
        named = [*self._files, *self._env.files]
        return [*named, *self._certificates] if named else []

    def read(self) -> None:
        """Read everything.

        Raises:
            SettingsError: something is invalid.
        """
        self.environ, self._shadowed = self._source.read()
        self._is_exposed = self._source.is_exposed()
        self._env = Environment(self.environ, self._source.shown)
        self.settings = Settings.of(self._env)
        if self.settings.ca_file is not None:
            self._certificates = [self.settings.ca_file]

    def log_notes(self) -> None:
        """Log what is valid, but may not be meant so."""
        log_env_file(self._source.path, self._shadowed, is_exposed=self._is_exposed)
        log_near_misses(near_misses(self.environ))

    def changes_since(self, before: Loaded) -> list[str]:
        """Names of the variables whose values differ; those of traces are read elsewhere too."""
        names = self._env.changes_since(before._env)
        traces = [name for name in {**before.environ, **self.environ} if is_of_traces(name)]
        differ = [n for n in traces if before.environ.get(n) != self.environ.get(n)]
        return [*names, *(name for name in differ if name not in names)]


class Reloadable:
    """An ASGI application that passes every request on to the current application.

    A reload creates a complete application from the new settings, and connects it, while the
    current one serves. Then one assignment replaces it: requests keep the application that they
    began with, and what only the old one uses is closed after its last request.

    Args:
        loaded: the first settings.
        source: where to read them again.
        watch: whether to reload when a file changes.

    Attributes:
        current: the application that gets the next request.
    """

    def __init__(self, loaded: Loaded, source: Source, *, watch: bool = False) -> None:
        parts = Parts.of(loaded.settings)
        parts.go_live()
        self.current = application(parts)
        self._parts = parts
        self._loaded = loaded
        self._source = source
        self._watch = watch
        self._files = loaded.files
        self._wanted = asyncio.Event()
        # Whether a person, or another program, has asked for the reload and awaits a log line.
        self._was_asked = False
        self._reported: Sequence[str] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._retiring: dict[Parts, asyncio.Task[None]] = {}

    @property
    def settings(self) -> Settings:
        """The current settings."""
        return self._loaded.settings

    @property
    def state(self) -> State:
        """The state of the current application."""
        return self.current.state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on."""
        if scope["type"] == "lifespan":
            return self._live(receive, send)
        return self.current(scope, receive, send)

    def reload(self) -> None:
        """Reload as soon as the last reload has ended."""
        self._was_asked = True
        self._wanted.set()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._parts.start()
        self._tasks.append(asyncio.create_task(self._keep_reloading()))
        if self._watch:
            self._tasks.append(asyncio.create_task(self._keep_watching()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        tasks = [*self._tasks, *self._retiring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for parts in self._retiring:
            await parts.close_except(self._parts)
        await self._parts.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep_watching(self) -> None:
        async for _ in changes(lambda: self._files):
            self._wanted.set()

    async def _keep_reloading(self) -> None:
        while await self._wanted.wait():
            self._wanted.clear()
            was_asked, self._was_asked = self._was_asked, False
            try:
                problems, changed = await self._reloaded()
            except Exception as error:  # noqa: BLE001 - the current settings stay after any error
                problems, changed = [f"reload failed ({type(error).__name__})"], []
            if not was_asked and not changed and list(problems) == list(self._reported):
                # A watched file was touched, and nothing is different.
                continue
            self._reported = problems
            self._parts.metrics.reloaded(ok=not problems)
            log_reload(problems, changed)

    async def _reloaded(self) -> tuple[Sequence[str], list[str]]:
        """Reload; return the problems that prevent it, and the names of what changed."""
        new = Loaded(self._source)
        try:
            # Files may be on a slow disk, and certificates take time.
            await asyncio.to_thread(new.read)
        except SettingsError as error:
            return error.problems, []
        finally:
            self._files = list(dict.fromkeys([*self._loaded.files, *new.files]))
        changed = new.changes_since(self._loaded)
        if fixed := [name for name in changed if name in _FIXED or is_of_traces(name)]:
            fix = "has changed, which needs a restart: restart the service, or change it back"
            return [f"{name} {fix}" for name in fixed], []
        if not changed:
            return [], []
        problems = await self._replace(new, reconnect="SSL_CERT_FILE" in changed)
        if problems:
            if self._watch:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wanted.set)
            return problems, []
        self._files = new.files
        return [], changed

    async def _replace(self, new: Loaded, *, reconnect: bool) -> list[str]:
        """Replace the application; return the problems that prevent it."""
        if reconnect:
            from edge_service.upstream.connections import trusted

            trusted.cache_clear()
        parts = Parts.of(new.settings, before=self._parts, reconnect=reconnect)
        is_usable = False
        try:
            current = application(parts)
            problems = await parts.connect()
            is_usable = not problems
        finally:
            if not is_usable:
                await parts.close_except(self._parts)
        if problems:
            return problems
        restarts_limits = parts.restarts_limits
        parts.go_live()
        old, self._parts, self._loaded = self._parts, parts, new
        self.current = current
        change_logging(new.settings.log_level, new.settings.log_format)
        earlier = next(reversed(self._retiring.values()), None)
        self._retiring[old] = asyncio.create_task(self._retire(old, parts, earlier))
        if restarts_limits:
            structlog.get_logger("service").warning("limits_restarted", variable="REDIS_URL")
        new.log_notes()
        return []

    async def _retire(self, old: Parts, new: Parts, earlier: asyncio.Task[None] | None) -> None:
        # Parts that several generations share may only be closed after the last request of all.
        if earlier is not None:
            await asyncio.wait([earlier])
        await old.avatars.idle()
        await old.close_except(new)
        del self._retiring[old]


def is_of_traces(name: str) -> bool:
    """Whether a variable belongs to the SDK for traces, which reads it only once."""
    return name.startswith(_FIXED_PREFIX)
