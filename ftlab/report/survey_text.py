"""Survey text: a survey of data on one screen, and in a few lines. It knows no data and no pages."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ftlab.data.quality.description import Description, Found
from ftlab.report.pieces import visible
from ftlab.report.survey import TRAITS, Survey
from ftlab.report.units import count, share, span

#: Heights of the bars that stand for counts.
_BARS = "▁▂▃▄▅▆▇█"


def screen(survey: Survey) -> list[str]:
    """Return what there is to know at once, in at most 40 lines."""
    lines = ["", *_table(survey), ""]
    for split, one in survey.descriptions.items():
        lines.append(_line("tokens" if split == "train" else "", f"{split:10} {_spread(one)}"))
    train = next(iter(survey.descriptions.values()))
    if len(train.sources) > 1:
        lines.append(_line("sources", _listed(train.sources)))
    if train.scripts:
        lines.append(_line("scripts", ", ".join(f"{name} {share(part)}" for name, part in train.scripts.items())))
    if train.classes:
        lines.append(_line("classes", _listed(train.classes)))
    for split in survey.descriptions:
        lines += _found(split, survey.found(split))
    lines += _leaks(survey)
    lines += _cleaning(survey)
    if survey.left_out:
        lines += _several("left out", [survey.left_out_why, *survey.left_out], 2)
    lines += _several("refused", survey.refused, 1)
    return [*lines, *_several("warning", survey.warnings, 4)]


def short(survey: Survey, rows: int) -> list[str]:
    """Return the same in about six lines, for the start of a run.

    Args:
        survey: of all training rows, or of a sample.
        rows: how many there are.
    """
    train = next(iter(survey.descriptions.values()))
    tokens = train.tokens
    beyond = f", {count(tokens.beyond)} beyond max_length {count(tokens.limit)}" if tokens.beyond else ""
    sample = f"in a sample of {count(train.rows)}: " if train.rows < rows else ""
    turns = f"{span(train.turns)} turns, " if train.turns else ""
    lines = [
        _line(
            "data",
            f"{count(rows)} rows, {sample}{turns}tokens {count(tokens.p50)} (median), "
            f"{count(tokens.p95)} (p95), {count(tokens.max)} (max){beyond}, {share(train.supervised_share)} learnt",
        )
    ]
    if said := [
        f"{TRAITS[trait]}: {count(found.count)}" for trait, found in survey.found("train").items() if found.count
    ]:
        lines.append(_line("found", ", ".join(said)))
    named = survey.on_leak != "drop"  # rows that are left out are named by the run
    return [*lines, *_leaks(survey, 1)[: 3 if named else 1], *_several("warning", survey.warnings, 3)]


def bars(counts: Sequence[float]) -> str:
    """Return counts as bars; what is not there is a blank."""
    most = max(counts, default=0)
    return "".join(_BARS[min(int(8 * one / most), 7)] if one else " " for one in counts)


def _table(survey: Survey) -> Iterator[str]:
    limit = next(iter(survey.descriptions.values())).tokens.limit
    head = ("rows", "turns", "tokens", "p50", "p95", "max", f"beyond {count(limit)}", "learnt")
    yield _cells("", head)
    for split, one in survey.descriptions.items():
        tokens = one.tokens
        beyond = f"{count(tokens.beyond)} ({share(tokens.beyond_share)})" if tokens.beyond else "0"
        figures = (tokens.total, tokens.p50, tokens.p95, tokens.max)
        learnt = share(one.supervised_share)
        yield _cells(split, (count(one.rows), span(one.turns) or "-", *map(count, figures), beyond, learnt))
    for name, rows in survey.held_out.items():
        yield _cells(name, (count(rows),))


def _cells(name: str, cells: Sequence[str]) -> str:
    widths = (9, 8, 13, 7, 7, 8, 17, 9)
    return f"{name:10}{''.join(f'{cell:>{width}}' for cell, width in zip(cells, widths, strict=False))}"


def _spread(one: Description) -> str:
    """Return the histograms of tokens and of turns."""
    edges, counts = one.tokens.histogram.edges, one.tokens.histogram.counts
    first = next((i for i, number in enumerate(counts) if number), 0)
    text = f"{count(edges[first])} {bars(counts[first:])} {count(edges[-1])}"
    if len(one.turns) < 2:
        return text
    turns = range(min(one.turns), max(one.turns) + 1)
    return f"{text}   turns {turns[0]} {bars([one.turns.get(n, 0) for n in turns][:40])} {turns[-1]}"


def _found(split: str, found: dict[str, Found]) -> Iterator[str]:
    """Yield what was found in a split; of train with the first places, of others in one line."""
    said = {
        trait: f"{TRAITS[trait]}: {count(one.count)} ({share(one.share)})" for trait, one in found.items() if one.count
    }
    if not said:
        yield _line("found", f"{split:10} no duplicates, conflicts, empty, very short or cut off answers")
    elif split != "train":
        yield _line("found", f"{split:10} {_cut(', '.join(said.values()))}")
    else:
        texts = [f"{split:10} {text}, first {_first(found[trait])}" for trait, text in said.items()]
        yield from _several("found", texts, 4)


def _first(found: Found) -> str:
    """Return where the first is, and of a group its second row: `x.jsonl:3 = :7`."""
    first, *others = found.places[0]
    return " = ".join([first, *(place.removeprefix(first.rpartition(":")[0]) for place in others[:1])])


def _leaks(survey: Survey, most: int = 3) -> list[str]:
    leaks = survey.prepared.leaks
    splits = [*survey.descriptions, *survey.held_out]
    if len(splits) < 2:
        return [_line("leaks", "nothing is held out that could leak")]
    alike = ", ".join(f"{count(n)} of {name}" for name, n in leaks.templates.items() if n)
    templates = f"; only a template is shared by {alike}" if alike else ""
    if not leaks.found:
        return [_line("leaks", f"none between {', '.join(splits[:-1])} and {splits[-1]}{templates}")]
    said = [f"{leak.place} and {leak.into_place} ({leak.into}): {leak.kind.replace('_', ' ')}" for leak in leaks.found]
    total = f"{count(len(leaks.found))}: {survey.leaks_lead_to}{templates}"
    return [_line("LEAKS", total), *_several("", said, most)]


def _cleaning(survey: Survey) -> list[str]:
    acted, idle = survey.steps
    said = [
        f"{split:10} {step.step}: {count(step.changed)} of {count(step.rows)} changed, {count(step.dropped)} left out"
        for split, step in acted
    ]
    lines = _several("cleaning", said, 2)
    if idle:
        splits: dict[str, list[str]] = {}
        for split, step in idle:
            splits.setdefault(step.step, []).append(split)
        without = _cut(", ".join(f"{step} ({', '.join(names)})" for step, names in splits.items()))
        lines.append(_line("" if said else "cleaning", f"no effect: {without}"))
    return lines


def _several(name: str, texts: Sequence[str], most: int) -> list[str]:
    """Return the first texts, a line each, and how many more there are."""
    lines = [_line("" if i else name, text) for i, text in enumerate(texts[:most])]
    if (more := len(texts) - most) > 0:
        lines.append(_line("", f"and {count(more)} more; ftlab data check CONFIG --html FILE lists them"))
    return lines


def _listed(counts: dict[str, int]) -> str:
    first = list(counts.items())[:8]
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    return _cut(", ".join(f"{visible(' '.join(name.split())[:24])} {count(number)}" for name, number in first) + more)


def _cut(text: str) -> str:
    return textwrap.shorten(text, 95, placeholder=" ...")


def _line(name: str, text: str) -> str:
    return f"{name:10} {text}"
