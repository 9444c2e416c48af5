"""Quantities: the numbers of a text with units, money and LaTeX around them, read exactly. They know no grader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ftlab.exam.graders.numbers import LONGEST_NUMBER


@dataclass(frozen=True)
class Quantity:
    """A number as it is written."""

    value: Fraction
    """Its value, the percent sign aside."""
    percent: bool = False
    """Whether it is followed by a percent sign."""

    def equals(self, right: Quantity, absolute: Fraction = Fraction(0), relative: Fraction = Fraction(0)) -> bool:
        """Return whether both mean one number, give or take; where one alone is a percentage, 30 % is 30 or 0.3."""
        wanted = {right.value / 100 if right.percent else right.value}
        given = {self.value / 100 if self.percent else self.value}
        if self.percent != right.percent:
            wanted.add(right.value)
            given.add(self.value)
        return any(abs(g - w) <= max(absolute, relative * abs(w)) for g in given for w in wanted)


#: Spaces and marks that may stand between groups of three digits, beside the comma.
_GROUPS = "\u00a0\u202f\u2009'’"
#: What begins with a digit and runs on over whatever may stand within a number, a time, a ratio or an address.
_TOKEN = re.compile(
    rf"(?P<sign>(?<![A-Za-z0-9)\]}}%.])[-+])?(?P<digits>(?:(?<![A-Za-z])\.)?\d(?:\d|[.,:/{_GROUPS}](?=\d))*)"
    r"(?P<part>\s+\d{1,9}/\d{1,9}(?![\d/.]))?"
    r"(?:\s*/\s*(?P<below>\d+(?!\.?\d)))?"
    r"(?:[eE](?P<e>[-+]?\d{1,3})(?!\w)|\s*[×*x]\s*10\s*\^\s*\{?\s*(?P<ten>[-+]?\d{1,3})(?!\d)\}?)?"
    r"(?P<percent>\s*(?:[%％]|per ?cent\b))?"
)
_PLAIN = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d+)(?:\.\d+)?|\.\d+")
#: Letters, an index or an exponent right before it make a digit part of a name (`H2O`, `m2`, `x_1`, `GPT-4`).
_NAME_BEFORE = re.compile(r"(?:[A-Za-z]-?|\d\*\*|[_^]\s*\{?\s*[-+]?)$")
_CURRENCY_BEFORE = re.compile(r"(?<![A-Za-z])(?:USD|EUR|GBP|JPY|CNY|RMB|INR|CHF|Rs\.?)$")
#: A number with an exponent is another number, which is not read.
_POWER_AFTER = re.compile(r"\s*\^|\*\*\d|[²³¹⁰⁴-⁹ⁿ]")

_REPLACED: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile("[−–]"), "-"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°"), " "),
    (re.compile(r"\\(?:left|right|displaystyle|!)"), ""),
    (re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{"), " {"),
    (re.compile(r"\\(?:cdot|times)"), "×"),
    (re.compile(r"\\[,;: ]"), "\u2009"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"-\s?\\?[$€£¥₹]\s?(?=[\d.])"), "-"),
    (re.compile(r"\\?[$€£¥₹]"), " "),
    (re.compile("[¼-¾⅐-⅞]"), lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("⁄", "/")),
]
_SIDE = r"(?:\{{\s*(?P<{0}>[-+]?[\d.,]{{1,99}})\s*\}}|(?P<{0}1>\d))"
_FRACTION = re.compile(rf"\\[dtc]?frac\s*{_SIDE.format('above')}\s*{_SIDE.format('below')}")
#: Roots, fractions of more than numbers, multiples of pi: no numbers, nor is what stands in them.
_TERM = re.compile(r"π|\\pi(?![A-Za-z])|\\(?:[dtc]?frac\s*\d?|sqrt)(?:\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}|\[[^\[\]]*\]))*")


def quantities(text: str, decimal: str = ".") -> list[Quantity | None]:
    r"""Return the numbers of a text in order; None stands for one that cannot be read, such as `10:30` or `2^5`.

    Read are signs, thousands (`1,010`, `1\,010`), decimals, fractions (`3/4`, `1 1/2`, `½`, `\frac{3}{4}`), powers of
    ten (`1.5e3`, `1.5 \times 10^3`) and percentages, with money before them and units after. Digits that belong to a
    name or an exponent (`H2O`, `x_1`, `m^2`) are none.

    Args:
        text: of any length and content.
        decimal: the decimal mark; with `,` the point separates thousands.
    """
    text = _plain(text)
    found: list[Quantity | None] = []
    for token in _TOKEN.finditer(text):
        before = text[max(0, token.start() - 8) : token.start()]
        if _NAME_BEFORE.search(before) and not _CURRENCY_BEFORE.search(before):
            continue
        found.append(None if _POWER_AFTER.match(text, token.end()) else _read(token, decimal))
    return found


def boxed(text: str) -> str | None:
    r"""Return what stands in the last closed `\boxed{...}`; None where there is none."""
    for start in reversed([found.end() for found in re.finditer(r"\\f?boxed\s*\{", text)][-20:]):
        depth = 1
        for brace in re.finditer(r"[{}]", text[start : start + 1000]):
            depth += 1 if brace[0] == "{" else -1
            if not depth:
                return text[start : start + brace.start()]
    return None


def _plain(text: str) -> str:
    """Return a text with its LaTeX and its signs of money made plain."""
    text = _FRACTION.sub(_slashed, text)
    for pattern, new in _REPLACED:
        text = pattern.sub(new, text)
    return _TERM.sub(" 0:0 ", text)  # which is found, and cannot be read


def _slashed(found: re.Match[str]) -> str:
    above, below = (found[name] or found[f"{name}1"] for name in ("above", "below"))
    mixed = found.start() and found.string[found.start() - 1].isdecimal()
    return f"{' ' if mixed else ''}{above}/{below}"


def _read(token: re.Match[str], decimal: str) -> Quantity | None:
    if len(token[0]) > LONGEST_NUMBER:
        return None
    digits = token["digits"].translate(str.maketrans(".,", ",.")) if decimal == "," else token["digits"]
    digits = re.sub(rf"(?<=\d)[{_GROUPS}](?=\d{{3}}(?!\d))", ",", digits)
    above, *below = digits.split("/") + ([token["below"]] if token["below"] else [])
    if len(below) > 1 or not all(map(_PLAIN.fullmatch, (above, *below))):
        return None
    value, divisor = (Fraction(side.replace(",", "")) for side in (above, below[0] if below else "1"))
    if not divisor:
        return None
    value /= divisor
    if token["part"]:
        top, bottom = map(int, token["part"].split("/"))
        if below or not top < bottom:
            return None
        value += Fraction(top, bottom)
    value *= Fraction(10) ** int(token["e"] or token["ten"] or 0)
    return Quantity(-value if token["sign"] == "-" else value, token["percent"] is not None)
