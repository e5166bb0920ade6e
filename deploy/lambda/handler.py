"""The token service as an AWS Lambda function, behind a function URL or API Gateway.

Lambda freezes a function between two calls, so the policy `pool`, which logs in between requests,
is refused.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

from mangum import Mangum

from edge_service.app import create_app
from edge_service.settings import Settings, SettingsError
from edge_service.telemetry import configure_logging

SECRET = "AVATAR_API_KEY_SECRET"  # noqa: S105 - a name


def _environ() -> dict[str, str]:
    """The environment, with the API key from Secrets Manager if a variable names a secret."""
    environ = dict(os.environ)
    if secret := environ.pop(SECRET, None):
        # Lambda's Python runtime includes it.
        import boto3  # type: ignore[import-not-found,unused-ignore]

        found = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
        # A secret that was created from a file may end with a line break.
        environ["AVATAR_API_KEY"] = found["SecretString"].rstrip("\r\n")
    return environ


def _settings() -> Settings:
    try:
        settings = Settings.from_env(_environ())
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if any(avatar.policy == "pool" for avatar in settings.avatars.values()):
        raise SystemExit(
            "TOKEN_POLICY pool logs in ahead of time, but a function is frozen between requests: "
            "use direct, or shared with REDIS_URL"
        )
    # Any value removes /metrics from the public URL.
    return replace(settings, metrics_port=settings.metrics_port or 1)


settings = _settings()
configure_logging(settings.log_level, settings.log_format)
app = create_app(settings)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
# Started once for each instance; Mangum would start and stop the application for every request.
_lifespan = app.router.lifespan_context(app)
loop.run_until_complete(_lifespan.__aenter__())
_adapter = Mangum(app, lifespan="off")
# The longest time of a login that a request has started.
_SETTLE_SECONDS = settings.upstream_timeout + 2


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request.

    Args:
        event: from a function URL or API Gateway, in payload format 1.0 or 2.0.
        context: of the call; not used.

    Returns:
        The response, in the format of the event.

    Raises:
        ValueError: the event is not an HTTP request, or comes from a load balancer.
    """
    if "requestContext" not in event:
        raise ValueError(
            "this event is not an HTTP request: call the function by its URL or through API "
            "Gateway, and remove other triggers"
        )
    if "elb" in event["requestContext"]:
        raise ValueError(
            "a load balancer sends a visitor's address only in X-Forwarded-For, which visitors can "
            "forge: use a function URL or API Gateway"
        )
    before = asyncio.all_tasks(loop)
    answer: dict[str, Any] = _adapter(event, context)  # type: ignore[arg-type]
    # A renewal of `shared` that is still running would be frozen, and fail for the next visitor.
    if begun := asyncio.all_tasks(loop) - before:
        loop.run_until_complete(asyncio.wait(begun, timeout=_SETTLE_SECONDS))
    return answer
