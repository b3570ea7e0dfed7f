"""What a file is written in when it is not UTF-8."""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"
# The longer marks come first: UTF-32's little-endian one begins with UTF-16's.
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_READABLE_BYTES = 24


def foreign_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes of a file tell of, if that is not UTF-8: UTF-16 or UTF-32.

    Either has a mark at its beginning, or zero bytes in a pattern, since JSON and most tables begin with ASCII.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    first = [byte == 0 for byte in head[:4]]
    if len(first) < 4:
        return None
    if first in ([True, True, True, False], [False, True, True, True]):
        return "UTF-32"
    return "UTF-16" if first in ([True, False, True, False], [False, True, False, True]) else None


def not_utf8(line: bytes, at: int) -> tuple[str, str, str]:
    """The reason, what was found and the fix for a line that stops being UTF-8 at a byte."""
    end = min([at + _READABLE_BYTES, *(end for end in (line.find(b"\n", at),) if end >= 0)])
    piece = line[at:end].rstrip(b"\r")
    encoding = foreign_encoding(line)
    if encoding is not None:
        return f"the file is {encoding}; save it as UTF-8", "", "save the file as UTF-8"
    reason = f"byte 0x{line[at]:02x} is not UTF-8; if the file is GBK, save it as UTF-8"
    # A piece that ends in the middle of a character is none the less GBK.
    for readable in (piece, piece[:-1]):
        try:
            return reason, f"{readable.decode('gb18030')!r} if read as GBK", "save the file as UTF-8"
        except UnicodeDecodeError:
            continue
    return reason, repr(piece), "save the file as UTF-8, or take the line out"


def ends_inside_character(content: bytes) -> bool:
    """Whether bytes are UTF-8 that stops in the middle of a character, as a file does that was cut off."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end == len(content) and error.reason == "unexpected end of data"
    return False
