"""The documented home of what the limiter shared over Redis is told."""

from qianfan._transport.limits_redis import RedisConnectionInfo

__all__ = ["RedisConnectionInfo"]
