"""What one call of the command line carries from its options to its end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Invocation:
    """Handed to every command as `context.obj`.

    shows_tracebacks: whether an error shows where it came from.
    last_words: lines for stderr once the command has ended, after its error if there is one.
    """

    shows_tracebacks: bool = False
    last_words: list[str] = field(default_factory=list[str])
