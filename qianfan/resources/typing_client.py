"""Where answers as objects are found by older code."""

from qianfan.resources.llm.typed import (
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    Completion,
    CompletionChunk,
    CompletionChunkChoice,
    CompletionStatistic,
    CompletionUsage,
    Function,
    SearchResult,
    ToolCall,
)

__all__ = [
    "ChatCompletionMessage",
    "Choice",
    "ChoiceDelta",
    "Completion",
    "CompletionChunk",
    "CompletionChunkChoice",
    "CompletionStatistic",
    "CompletionUsage",
    "Function",
    "SearchResult",
    "ToolCall",
]
