"""Where conversations and answers are found by older code."""

from qianfan.resources.llm.presets import ModelInfo as QfLLMInfo
from qianfan.resources.messages import QfMessages, QfRequest, QfResponse, QfRole

__all__ = ["QfLLMInfo", "QfMessages", "QfRequest", "QfResponse", "QfRole"]
