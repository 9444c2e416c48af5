"""Opening: what a training log says of its data before it begins. It knows no model and no training."""

from __future__ import annotations

from ftlab.data.chat import Chat
from ftlab.data.module import ChatData
from ftlab.report.row_text import short_row_text
from ftlab.report.shown import first_row
from ftlab.report.survey import survey
from ftlab.report.survey_text import short

#: Rows of a split that are described before a run; `ftlab data check` describes all.
MOST = 20_000


def opening(data: ChatData, chat: Chat, colour: bool) -> list[str]:
    """Return the short form of `ftlab data check`, and the first row as the model sees it.

    Args:
        data: loaded for fit.
        chat: the model's chat rendering.
        colour: whether the log is a terminal with colours.
    """
    row = first_row(data, chat)
    told = "learnt in colour" if colour else "learnt in ⟦ ⟧"
    heading = f"{row.title:10} {row.place}, {row.counts} ({told})"
    found = survey(data, chat, most=MOST)
    described, rows = found.descriptions["train"].rows, len(data.prepare().rows["train"])
    return [*short(found, rows if described == MOST else described), heading, short_row_text(row, colour)]
