"""The token service as an AWS Lambda function, behind a function URL or API Gateway.

A function is frozen between two calls, and each instance has one request at a time. So `pool`,
which logs in when nobody asks, makes no sense here and is refused.
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
    """The variables, with the key from Secrets Manager where one names a secret."""
    environ = dict(os.environ)
    if secret := environ.pop(SECRET, None):
        # Part of Lambda's own Python.
        import boto3  # type: ignore[import-not-found,unused-ignore]

        found = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
        # Whoever made it of a file may have made one of a line.
        environ["AVATAR_API_KEY"] = found["SecretString"].rstrip("\r\n")
    return environ


def _settings() -> Settings:
    try:
        settings = Settings.from_env(_environ())
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if any(avatar.policy == "pool" for avatar in settings.avatars.values()):
        raise SystemExit(
            "TOKEN_POLICY pool logs in ahead of time, and a function is frozen when nobody asks: "
            "use direct, or shared with REDIS_URL"
        )
    # Whatever it is, it takes /metrics off the public address.
    return replace(settings, metrics_port=settings.metrics_port or 1)


settings = _settings()
configure_logging(settings.log_level, settings.log_format)
app = create_app(settings)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
# Once for each instance. Mangum would start and end the application with every request.
_lifespan = app.router.lifespan_context(app)
loop.run_until_complete(_lifespan.__aenter__())
_adapter = Mangum(app, lifespan="off")
# A login that a request began, and the time it may take.
_SETTLE_SECONDS = settings.upstream_timeout + 2


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request.

    Args:
        event: of a function URL or of API Gateway, in payload format 1.0 or 2.0.
        context: of the call; not used.

    Raises:
        ValueError: the event is no request, or came from a load balancer.
    """
    if "requestContext" not in event:
        raise ValueError(
            "this event is no request: call the function by its URL or through API Gateway, and "
            "take other triggers off"
        )
    if "elb" in event["requestContext"]:
        raise ValueError(
            "a load balancer tells a visitor's address only in X-Forwarded-For, where visitors "
            "may write one: use a function URL or API Gateway"
        )
    before = asyncio.all_tasks(loop)
    answer: dict[str, Any] = _adapter(event, context)  # type: ignore[arg-type]
    # What is left would be frozen half-way, and fail for the next visitor: a renewal of `shared`.
    if begun := asyncio.all_tasks(loop) - before:
        loop.run_until_complete(asyncio.wait(begun, timeout=_SETTLE_SECONDS))
    return answer
