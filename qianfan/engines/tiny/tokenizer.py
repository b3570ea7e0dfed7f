"""Text to tokens and back: common words and characters, and the bytes of everything else."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

PAD, SYSTEM, USER, ASSISTANT, END = range(5)
"""The special tokens, which no text can hold: padding, who speaks next, and that the answer is over."""

SPECIAL: Final = range(5)
_FIRST_BYTE: Final = len(SPECIAL)
_FIRST_PIECE: Final = _FIRST_BYTE + 256
_PIECE: Final = re.compile(r" ?[A-Za-z]+|.", re.DOTALL)


class Tokenizer:
    """pieces: the words, with the space before them, and characters that are tokens of their own.

    Token numbers: the special ones, then the 256 bytes, then the pieces.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._tokens = {piece: token for token, piece in enumerate(self.pieces, start=_FIRST_PIECE)}
        self._bytes = (
            *[b""] * _FIRST_BYTE,
            *(bytes([value]) for value in range(256)),
            *(piece.encode() for piece in self.pieces),
        )

    @classmethod
    def learn(cls, texts: Iterable[str], limit: int = 4000) -> Tokenizer:
        """A tokenizer for such texts, whose pieces are the `limit` commonest of them."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_PIECE.findall(_encodable(text)))
        return cls([piece for piece, _ in counts.most_common(limit)])

    def __len__(self) -> int:
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """Any text; what is no piece becomes its UTF-8 bytes, and half a surrogate pair a question mark."""
        tokens: list[int] = []
        for piece in _PIECE.findall(_encodable(text)):
            token = self._tokens.get(piece)
            if token is not None:
                tokens.append(token)
            else:
                tokens.extend(_FIRST_BYTE + value for value in piece.encode())
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens. Bytes that are no UTF-8 become replacement characters."""
        return b"".join(self._bytes[token] for token in tokens).decode(errors="replace")

    def decoder(self) -> StreamDecoder:
        """Decodes an answer that comes token by token."""
        return StreamDecoder(self._bytes)


class StreamDecoder:
    """Text as soon as its last byte is there."""

    def __init__(self, bytes_of: Sequence[bytes]) -> None:
        self._bytes_of = bytes_of
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """What can be said after this token."""
        return self._utf8.decode(self._bytes_of[token])

    def finish(self) -> str:
        """What is left of a character that never became complete."""
        return self._utf8.decode(b"", final=True)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
