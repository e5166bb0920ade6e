"""Logs, metrics and traces."""

from edge_service.telemetry.logs import configure_logging

__all__ = ["configure_logging"]
