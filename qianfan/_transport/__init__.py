"""The seam to the network: calls in, replies or typed errors out. Nothing else imports httpx."""

from qianfan._outcome import Outcome, outcome_of
from qianfan._transport.client import Client, Content, client_with, default_client
from qianfan._transport.incoming import AnswerStream, Download
from qianfan._transport.wire import Call, Creates, Family, Reply, Safety

__all__ = [
    "AnswerStream",
    "Call",
    "Client",
    "Content",
    "Creates",
    "Download",
    "Family",
    "Outcome",
    "Reply",
    "Safety",
    "client_with",
    "default_client",
    "outcome_of",
]
