"""JSON lists: the items of a list one by one, so that a large file need not fit into memory. They know no chats."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from ftlab.data.files.blocks import DECODER, BrokenError, Fault

#: How much is read at once, in bytes.
PIECE = 1 << 20
#: The longest word of JSON, which the end of a piece may have cut: a fault this near to it may be none.
_CUT = 12
_PLAIN = json.JSONDecoder()


def json_list(stream: BinaryIO) -> Iterator[tuple[int, Any, int]]:
    """Yield the items of a list, or of the one list in an object, each with its line and its bytes.

    Args:
        stream: the file, without a byte order mark.

    Raises:
        BrokenError: it is no such JSON; the line says where it ends to be.
    """
    text = _Text(stream)
    opening = text.peek()
    if not opening:
        return
    if opening == "[":
        yield from _items(text)
    elif opening == "{":
        text.take("{")
        found = ""
        while text.peek() != "}":
            key = text.value()[1]
            text.take(":")
            if text.peek() != "[":
                text.value()
            elif found:
                raise BrokenError(f"two lists, {found!r} and {key!r}; write each to a file of its own", text.line)
            else:
                found = key
                yield from _items(text)
            if text.peek() != "}":
                text.take(",")
        text.take("}")
        if not found:
            raise BrokenError(
                "no list in this object; write a list of rows, or one object a line to a .jsonl", text.line
            )
    else:
        raise BrokenError("neither a list nor an object with a list; write a list of rows", text.line)
    if text.peek():
        raise BrokenError("more text after the list's end; write one list, or one object a line to a .jsonl", text.line)


def _items(text: _Text) -> Iterator[tuple[int, Any, int]]:
    text.take("[")
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]":
            text.take(",")
            if text.peek() == "]":
                raise BrokenError("not JSON (a comma before the list's end); take it away", text.line)
    text.take("]")


class _Text:
    """The part of a file that is being read.

    Args:
        stream: the file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.line = 1
        """Line of what comes next."""
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """Go to the next character that is no white space and return it; at the end it is empty."""
        while True:
            while self._at < len(self._text):
                char = self._text[self._at]
                if char not in " \t\r\n":
                    return char
                self.line += char == "\n"
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def take(self, char: str) -> None:
        """Go past a character that must come next."""
        if self.peek() != char:
            found = f"{self.peek()!r} where" if self.peek() else "the file ends where"
            raise BrokenError(f"not JSON ({found} {char!r} is due); mend the file", self.line)
        self._at += 1

    def value(self) -> tuple[int, Any, int]:
        """Return the next value, or the Fault in its place, with its line and its length."""
        self.peek()
        line = self.line
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except Fault as fault:
                value, end = fault, _PLAIN.raw_decode(self._text, self._at)[1]
            except json.JSONDecodeError as error:
                if self._ended or (error.pos < len(self._text) - _CUT and not error.msg.startswith("Unterminated")):
                    line += self._text.count("\n", self._at, error.pos)
                    raise BrokenError(f"not JSON ({error.msg}); mend the file", line) from error
                self._more()
                continue
            except (ValueError, RecursionError) as error:
                reason = str(error).partition(";")[0]
                raise BrokenError(f"not JSON that can be read ({reason}); mend the file", line) from error
            if end == len(self._text) and not self._ended:  # a number may go on
                self._more()
                continue
            size = end - self._at
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return line, value, size

    def _more(self) -> None:
        """Read on, as much as there is, so that a long value is not parsed again too often."""
        rest = self._text[self._at :]
        raw = self._stream.read(max(PIECE, len(rest)))
        self._ended = not raw
        try:
            self._text = rest + self._decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            line = self.line + rest.count("\n") + error.object[: error.start].count(b"\n")
            raise BrokenError("not UTF-8; save the file as UTF-8", line) from error
        self._at = 0
