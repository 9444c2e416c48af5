"""Chat: the only place that turns messages into token ids and a supervised mask. It knows nothing of batches."""

from ftlab.data.chat.chat import Chat
from ftlab.data.chat.learn import Learn
from ftlab.data.examples import Encoded

__all__ = ["Chat", "Encoded", "Learn"]
