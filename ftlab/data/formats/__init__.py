"""Formats: from one record of a source to the messages of a chat. They know nothing of files and tokens."""

from ftlab.data.formats.alpaca import Alpaca
from ftlab.data.formats.base import Format
from ftlab.data.formats.messages import Messages
from ftlab.data.formats.preference import Preference
from ftlab.data.formats.prompt_completion import PromptCompletion
from ftlab.data.formats.question_answer import QuestionAnswer
from ftlab.data.formats.sharegpt import ShareGPT
from ftlab.data.formats.text import Text

__all__ = [
    "Alpaca",
    "Format",
    "Messages",
    "Preference",
    "PromptCompletion",
    "QuestionAnswer",
    "ShareGPT",
    "Text",
]
