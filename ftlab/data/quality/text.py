"""Text: what two questions have in common once case, punctuation, numbers or order are set aside. It knows no files."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable
from functools import cache

import numpy as np

from ftlab.data.rows import Message, Row

#: Scripts that write no spaces: Thai, Lao, Khmer, Han, kana. Each character counts as a word.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Each expression begins with the sign that it is about: a search for a set of characters is fast.
_APOSTROPHE = re.compile("['’](?<=[^\\W\\d_].)(?=[^\\W\\d_])")
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_KEPT_POINT, _KEPT_OPENING, _KEPT_CLOSING, _END, _MINUS, _UNDERSCORE = map(chr, range(0xE000, 0xE006))
#: The sign of a number or of an operand: `-5`, `x = -y`, `ls -l`.
_NEGATIVE = re.compile(
    r"[-−](?:(?<![\w)\]].)(?=\.?\d|[^\W\d_]\b)|(?:(?<=[-=(<>+*/^].)|(?<=[-=(<>+*/^] .))(?=[^\W\d_]|\())"
)
#: A hyphen, star or slash between operands is an operator; elsewhere it is punctuation, as in `e-mail` and `**bold**`.
_OPERATOR = re.compile(
    rf"[-*/](?:(?<=\S .)(?= \S)|(?<=[\d)\]].)(?=[\d(\[{_MINUS}])|(?<=\b\w.)(?=\w\b|{_MINUS})|(?<=\w[*/])(?=\w))"
)
_SIGNS = {"-": "−", "*": "×", "/": "÷"}
_NOT = re.compile(r"!(?:(?==)|(?<=[\s(&|=].)(?=[^\W\d]|\())")
_SHARP = re.compile(r"#(?<=\b[^\W\d_].)(?!\w)")
_INNER_UNDERSCORE = re.compile(r"_(?<=[^\W_]_)(?=_*[^\W_])")
#: Brackets beside an operator change what an expression is worth.
_OPENING = re.compile(r"\((?:(?<=[-+−×÷^=]\()|(?<=[-+−×÷^=] \())")
_CLOSING = re.compile(r"\)(?= ?[+−×÷^])")
_POINT = re.compile(r"\.(?<=\d\.)(?=\d)")
_SENTENCE_END = re.compile(r"[.!?:;]\s+|\n+|[。！？]")
_KEPT = ("%", _KEPT_POINT, _KEPT_OPENING, _KEPT_CLOSING, _END, _MINUS, _UNDERSCORE)
NUMBER = re.compile(rf"{_MINUS}?\d+(?:{_KEPT_POINT}\d+)*")
_NEEDLESS_SPACE = re.compile(r" (?:(?<!\d.)|(?!\d))")


class _Spaces(dict[int, int]):
    """For `str.translate`: punctuation but the per cent sign becomes a space."""

    def __missing__(self, code: int) -> int:
        space = unicodedata.category(chr(code))[0] in "PZC" and chr(code) not in _KEPT
        self[code] = ord(" ") if space else code
        return self[code]


_SPACES = _Spaces()


def words(text: str) -> list[str]:
    """Return a text's words, numbers and signs in lower case without punctuation.

    What changes a meaning is no punctuation: decimal points, per cent and minus signs, operators, brackets beside an
    operator, underscores within a name, and the sharp of `C#`.
    """
    if not text.isascii():
        text = _UNSPACED.sub(r" \g<0> ", unicodedata.normalize("NFKC", text))
    text = _APOSTROPHE.sub("", text.casefold())
    text = _SHARP.sub("♯", _NOT.sub("¬", _INNER_UNDERSCORE.sub(_UNDERSCORE, _NEGATIVE.sub(_MINUS, text))))
    text = _OPERATOR.sub(lambda sign: _SIGNS[sign[0]], _THOUSANDS.sub("", text))
    text = _CLOSING.sub(_KEPT_CLOSING, _OPENING.sub(_KEPT_OPENING, text))
    return _POINT.sub(_KEPT_POINT, text).translate(_SPACES).split()


def sentences(text: str) -> list[list[str]]:
    """Return the words of each sentence of a text; a line is one at least."""
    ended = _SENTENCE_END.sub(f"\n{_END}\n", text)
    return [sentence.split() for sentence in " ".join(words(ended)).split(_END)]


def squeezed(words: Iterable[str]) -> str:
    """Return words as one string, in which spaces stand between numbers only: `e-mail`, `e mail` and `email` agree."""
    return _NEEDLESS_SPACE.sub("", " ".join(words))


def normalised(text: str) -> str:
    """Return a text without case, punctuation and white space, or as it is where nothing else is in it."""
    return squeezed(words(text)) or text


def masked(text: str) -> str:
    """Return a text with every number replaced by the same one."""
    return NUMBER.sub("0", text)


def numbers(words: Iterable[str]) -> tuple[str, ...]:
    """Return the numbers among words, in order."""
    return tuple(NUMBER.findall(" ".join(words)))


def content(message: Message) -> str:
    """Return all that a message says: its text, and the calls that it makes."""
    return "\n".join([str(message.get("content") or ""), *_calls(message)])


def compared(message: Message) -> str:
    """Return what a message says, and for each call a word that only equal calls share: in them every sign counts."""
    return "\n".join([content(message), *(f"{digest(call):x}".translate(_LETTERS) for call in _calls(message))])


def question(row: Row) -> str:
    """Return what a row asks: its prompt without what the system says. A document asks its whole text."""
    return "\n".join(map(content, _asked(row)))


def compared_question(row: Row) -> str:
    """Return what a row asks as it is compared with others; once `normalised`, equal questions are equal."""
    return "\n".join(map(compared, _asked(row)))


def compared_answer(row: Row) -> str | None:
    """Return the closing assistant turn as it is compared with others, None where there is none; as the question is."""
    last = row.messages[-1]
    return compared(last) if last["role"] == "assistant" else None


def answer(row: Row) -> str | None:
    """Return the closing assistant turn, None where there is none."""
    last = row.messages[-1]
    return content(last) if last["role"] == "assistant" else None


def digest(text: str) -> int:
    """Return 64 bits that two of some million texts share only if they are equal."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def shingles(words: list[str]) -> np.ndarray:
    """Return hashes of a text's words, and of its pairs of neighbours with their numbers masked: sorted, uint64.

    Words make the comparison robust against another order, pairs against other texts of the same words, and since
    only the words have the numbers, another number changes one shingle and not three.
    """
    if not words:
        return np.zeros(0, np.uint64)
    plain = " ".join(words)
    single = _hashes(plain)
    pairs = single if (hidden := masked(plain)) == plain else _hashes(hidden)
    return np.unique(np.concatenate([single << np.uint64(32), (pairs[:-1] << np.uint64(32)) | pairs[1:]]))


def _hashes(text: str) -> np.ndarray:
    pieces = text.encode("utf-8", "surrogatepass").split(b" ")
    return np.fromiter(map(zlib.crc32, pieces), np.uint64, len(pieces))


#: A hash in letters is a word; with digits it would be taken for numbers.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def _asked(row: Row) -> list[Message]:
    return [message for message in row.prompt if message["role"] not in ("system", "developer")]


def _calls(message: Message) -> list[str]:
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return [f"{f['name']} {json.dumps(f['arguments'], sort_keys=True, ensure_ascii=False)}" for f in functions]


@cache
def script(character: str) -> str:
    """Return a letter's script as its Unicode name begins: `Latin`, `Cyrillic`, `Han`."""
    name = unicodedata.name(character, "OTHER").split()[0].split("-")[0]
    return {"CJK": "Han", "KANGXI": "Han", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana"}.get(name, name.title())
