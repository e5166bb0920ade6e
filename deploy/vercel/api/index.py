"""The token service as a Vercel function: Vercel's Python runtime serves `app`.

Vercel freezes a function between two calls, so the policies that log in after a response are
refused: `pool`, and `shared`, whose renewal would be interrupted.
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
            "TOKEN_POLICY pool and shared log in after a response, when a function is frozen: "
            "use direct"
        )
    # Any value removes /metrics from the public URL.
    return replace(settings, metrics_port=settings.metrics_port or 1)


settings = _settings()
configure_logging(settings.log_level, settings.log_format)
app = create_app(settings)
