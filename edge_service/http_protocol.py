"""The documented import path of `BoundedProtocol`, for `uvicorn --http`."""

from edge_service.server.http_protocol import BoundedProtocol

__all__ = ["BoundedProtocol"]
