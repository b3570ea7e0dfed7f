"""The seam to the network: calls in, replies or typed errors out. Nothing else imports httpx."""

from qianfan._transport.client import Client, Content, default_client
from qianfan._transport.wire import Call, Family, Reply, Safety

__all__ = ["Call", "Client", "Content", "Family", "Reply", "Safety", "default_client"]
