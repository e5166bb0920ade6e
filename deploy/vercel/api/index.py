"""The token service as a Vercel function: Vercel's Python runtime serves `app`.

A function is frozen between two calls. So the policies that log in behind an answer are refused:
`pool`, and `shared`, whose renewal would be cut off half-way.
"""

from __future__ import annotations

from dataclasses import replace

from edge_service.app import create_app
from edge_service.settings import Settings, SettingsError
from edge_service.telemetry import configure_logging


def _settings() -> Settings:
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if any(avatar.policy != "direct" for avatar in settings.avatars.values()):
        raise SystemExit(
            "TOKEN_POLICY pool and shared log in when nobody waits, and a function is frozen then: "
            "use direct"
        )
    # Whatever it is, it takes /metrics off the public address.
    return replace(settings, metrics_port=settings.metrics_port or 1)


settings = _settings()
configure_logging(settings.log_level, settings.log_format)
app = create_app(settings)
