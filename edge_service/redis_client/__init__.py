"""The Redis that replicas share: its connections, and whether it is available."""

from edge_service.redis_client.connections import AnyRedis
from edge_service.redis_client.script import Script
from edge_service.redis_client.shared import RedisUnavailable, SharedRedis, probe

__all__ = ["AnyRedis", "RedisUnavailable", "Script", "SharedRedis", "probe"]
