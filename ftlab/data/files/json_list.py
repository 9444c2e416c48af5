"""JSON lists: the items of a list one by one, so that a large file need not fit into memory. They know no chats."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from ftlab.data.files.blocks import DECODER, BrokenError, Fault
from ftlab.data.places import Place

#: How much is read at once, in bytes.
PIECE = 1 << 20
#: The longest word of JSON, which the end of a piece may have cut: a fault this near to it may be none.
_CUT = 12
_PLAIN = json.JSONDecoder()


def json_list(stream: BinaryIO) -> Iterator[tuple[Place, Any, int]]:
    """Yield the items of a list, or of the one list in an object, each with its place and its bytes.

    Args:
        stream: the file, without a byte order mark.

    Raises:
        BrokenError: it is no such JSON; the place says where it ends to be.
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
            key = text.value()[0]
            text.take(":")
            if text.peek() != "[":
                text.value()
            elif found:
                raise BrokenError(f"two lists, {found!r} and {key!r}; write each to a file of its own", text.place)
            else:
                found = key
                yield from _items(text)
            if text.peek() != "}":
                text.take(",")
        text.take("}")
        if not found:
            raise BrokenError(
                "no list in this object; write a list of rows, or one object a line to a .jsonl", text.place
            )
    else:
        raise BrokenError("neither a list nor an object with a list; write a list of rows", text.place)
    if text.peek():
        what = "more text after the list's end"
        raise BrokenError(f"{what}; write one list, or one object a line to a .jsonl", text.place)


def _items(text: _Text) -> Iterator[tuple[Place, Any, int]]:
    """Yield the items; those that do not have the line on which they begin to themselves are numbered."""
    text.take("[")
    number = above = 0
    broken: BrokenError | None = None
    more = text.peek() != "]"
    while more:
        number, line = number + 1, text.line
        text.record = number if line == above else 0
        value, size = text.value()
        try:
            more = text.goes_on()
        except BrokenError as error:  # the item before is whole
            broken, more = error, False
        yield Place(line, number if line == above or (more and line == text.line) else 0), value, size
        above = line
    if broken:
        raise broken
    text.record = 0
    text.take("]")


class _Text:
    """The part of a file that is being read.

    Args:
        stream: the file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.line = 1
        """Line of what comes next."""
        self.record = 0
        """Number of the item that is being read, where the line is not its own; else 0."""
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._strange = False  # what follows is no UTF-8, which is told when it is come to

    @property
    def place(self) -> Place:
        """Where what comes next stands."""
        return Place(self.line, self.record)

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
            raise BrokenError(f"not JSON ({found} {char!r} is due); mend the file", self.place)
        self._at += 1

    def goes_on(self) -> bool:
        """Go past the comma to the next item of a list; False where the list ends."""
        if self.peek() == "]":
            return False
        self.take(",")
        if self.peek() == "]":
            raise BrokenError("not JSON (a comma before the list's end); take it away", self.place)
        return True

    def value(self) -> tuple[Any, int]:
        """Return the next value, or the Fault instead of it, with its length."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except Fault as fault:
                value, end = fault, _PLAIN.raw_decode(self._text, self._at)[1]
            except json.JSONDecodeError as error:
                if self._ended or (error.pos < len(self._text) - _CUT and not error.msg.startswith("Unterminated")):
                    self.line += self._text.count("\n", self._at, error.pos)
                    raise BrokenError(f"not JSON ({error.msg}); mend the file", self.place) from error
                self._more()
                continue
            except (ValueError, RecursionError) as error:
                reason = str(error).partition(";")[0]
                raise BrokenError(f"not JSON that can be read ({reason}); mend the file", self.place) from error
            if end == len(self._text) and not self._ended:  # a number may go on
                self._more()
                continue
            size = end - self._at
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return value, size

    def _more(self) -> None:
        """Read on, as much as there is, so that a long value is not parsed again too often."""
        rest = self._text[self._at :]
        if self._strange:
            raise BrokenError("not UTF-8; save the file as UTF-8", Place(self.line + rest.count("\n"), self.record))
        raw = self._stream.read(max(PIECE, len(rest)))
        self._ended = not raw
        try:
            self._text = rest + self._decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            self._strange = True
            self._text = rest + error.object[: error.start].decode()
        self._at = 0
