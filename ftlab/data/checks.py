"""Checks: whether messages are a chat that can be learnt from. They know nothing of formats, files and tokens."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ftlab.data.rows import DOCUMENT, ROLES, Message
from ftlab.errors import choices_help

#: All that a message may have; other keys are left out.
KEYS = ("role", "content", "name", "reasoning_content", "tool_calls", "tool_call_id", "train", "weight")
#: Who says what the others should do; an empty text is how one takes away the template's own.
OPENERS = ("system", "developer")
#: Keys of other tools that would be lost, and what they are called here.
FOREIGN = {"function_call": "tool_calls", "thinking": "reasoning_content", "reasoning": "reasoning_content"}
_SPOKEN = frozenset(ROLES)


def checked(
    messages: Any, need_answer: bool, what: str = "messages", first: int = 0, documents: bool = False
) -> list[Message]:
    """Return messages in the one form in which rows hold them.

    Args:
        messages: what a format made of a record.
        need_answer: whether there must be something to learn.
        what: what the list is called.
        first: how many messages of the chat stand before the list.
        documents: whether it may be one message of the role `document`.

    Raises:
        ValueError: what is wrong; what to do.
    """
    if isinstance(messages, str):
        messages = from_json(messages)
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'{what} must be a list with at least one message; each is {{"role": ..., "content": ...}}')
    if documents and len(messages) == 1 and isinstance(messages[0], dict) and messages[0].get("role") == DOCUMENT:
        return [{"role": DOCUMENT, "content": _content(messages[0], f"{what}[0]")}]
    made = [_message(message, f"{what}[{index}]") for index, message in enumerate(messages)]
    _require_order([message["role"] for message in made], what, first)
    if need_answer and not any(message["role"] == "assistant" for message in made):
        raise ValueError("no assistant turn, so there is nothing to learn; add the answer")
    return made


def checked_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Return functions in the one form in which rows hold them; None where there are none.

    Args:
        tools: a list or its JSON; each item with or without `{"type": "function", "function": ...}` around it.

    Raises:
        ValueError: what is wrong; what to do.
    """
    if isinstance(tools, str):
        if not tools.strip():
            return None
        tools = from_json(tools)
    if tools is None or tools == []:
        return None
    if not isinstance(tools, list):
        raise ValueError('tools must be a list of functions, or its JSON; write [{"name": ..., "parameters": ...}]')
    made = []
    for index, tool in enumerate(tools):
        inner = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"].strip():
            raise ValueError(f'tools[{index}] names no function; each is {{"name": ..., "parameters": ...}}')
        made.append(tool if "function" in tool else {"type": "function", "function": tool})
    return made


def from_json(text: str) -> Any:
    """Return what a text means as JSON, the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def type_name(value: Any) -> str:
    """Return what an error message calls the type of a value."""
    return "null" if value is None else type(value).__name__


def unpacked(value: Any) -> Any:
    """Return the messages that a text holds as JSON, as cells of tables do; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        found = from_json(value)
        if isinstance(found, list) and any(isinstance(item, dict) and _is_message(item) for item in found):
            return found
    return value


def require_whole_characters(value: Any, what: str) -> None:
    """Refuse half a surrogate pair anywhere in a value; a list is named with its index.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, list) and what.endswith("messages"):
        for index, item in enumerate(value):
            require_whole_characters(item, f"{what}[{index}]")
        return
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        where = f"{what}: content" if isinstance(value, dict) and _is_broken(value.get("content")) else what
        raise ValueError(f"{where} holds half a surrogate pair, which is no character; write the whole one") from error


def _is_message(item: dict[str, Any]) -> bool:
    return "role" in item and ("content" in item or "tool_calls" in item)


def _is_broken(text: Any) -> bool:
    return isinstance(text, str) and any("\ud800" <= char <= "\udfff" for char in text)


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, dict):
        raise ValueError(f'{where} is {type_name(message)}; each message is {{"role": ..., "content": ...}}')
    role = message.get("role")
    if not isinstance(role, str) or role not in _SPOKEN:
        raise ValueError(f"{where}: {role!r} is not a role; {choices_help(str(role), ROLES)}")
    if len(message) == 2 and "content" in message:
        return {"role": role, "content": _content(message, where)}
    made: Message = {"role": role, "content": ""}
    for key in [key for key in message if key not in KEYS]:
        if meant := _meant(key):
            raise ValueError(f"{where}: {key!r} is no key of a message; did you mean {meant}?")
        if message[key] and (own := FOREIGN.get(key)) and not message.get(own):
            raise ValueError(f"{where}: {key!r} is no key of a message and would be lost; write it as {own}")
    if (calls := _calls(message.get("tool_calls"), role, where)) is not None:
        made["tool_calls"] = calls
    if (reasoning := _text(message, "reasoning_content", where)) is not None:
        if role != "assistant":
            raise ValueError(f"{where}: only the assistant has reasoning_content; take it away")
        if reasoning.strip():
            made["reasoning_content"] = reasoning
    if len(made) == 2 or message.get("content") not in (None, ""):
        made["content"] = _content(message, where, may_be_blank=len(made) > 2)
    for key in ("name", "tool_call_id"):
        if (text := _text(message, key, where)) is not None:
            if key == "tool_call_id" and role != "tool":
                raise ValueError(f"{where}: only a tool's message has a tool_call_id; take it away")
            if not text.strip():
                raise ValueError(f"{where}: {key} is empty; write it or leave the key out")
            made[key] = text
    return made | _weight(message, role, where)


def _content(message: Message, where: str, may_be_blank: bool = False) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        if "content" not in message:
            raise ValueError(f"{where} has no content; write a string")
        if content is None:
            raise ValueError(f"{where}: content is null; write its text, or leave the message out")
        raise ValueError(f"{where}: content is {type(content).__name__}, not text; write a string")
    if (not content or content.isspace()) and not may_be_blank and message["role"] not in OPENERS:
        raise ValueError(f"{where}: content is empty; write a text or leave the message out")
    return content


def _text(message: Message, key: str, where: str) -> str | None:
    text = message.get(key)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{where}: {key} is {type(text).__name__}, not text; write a string")
    return text


def _calls(calls: Any, role: str, where: str) -> list[dict[str, Any]] | None:
    if calls is None or calls == []:
        return None
    if role != "assistant":
        raise ValueError(f"{where}: only the assistant has tool_calls; take them away")
    if not isinstance(calls, list):
        raise ValueError(f"{where}: tool_calls is {type(calls).__name__}, not a list; write one call in a list too")
    return [_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]


def _call(call: Any, where: str) -> dict[str, Any]:
    wanted = '{"function": {"name": ..., "arguments": {...}}}'
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise ValueError(f"{where} is no function call; write {wanted}")
    if call.get("type", "function") != "function":
        raise ValueError(f"{where}: the type {call['type']!r} is not known; only function is")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where} names no function; write {wanted}")
    if isinstance(arguments, str):
        arguments = from_json(arguments) if arguments.strip() else {}
    if not isinstance(arguments, dict) and arguments is not None:
        raise ValueError(f"{where}: arguments are no object; write {{...}}, or its JSON as a string")
    made: dict[str, Any] = {"type": "function"}
    if (own := call.get("id")) is not None:
        if not isinstance(own, str):
            raise ValueError(f"{where}: id is {type(own).__name__}, not text; write a string")
        made["id"] = own
    return made | {"function": {"name": name, "arguments": arguments or {}}}


def _weight(message: Message, role: str, where: str) -> Message:
    """Return the keys that say how much is learnt; others than the assistant's may only say nothing."""
    train, weight = message.get("train"), message.get("weight")
    if train is None and weight is None:
        return {}
    if train is not None and not isinstance(train, bool):
        raise ValueError(f"{where}: train is {type(train).__name__}; write true or false")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, (int, float))):
        raise ValueError(f"{where}: weight is {type(weight).__name__}, not a number; write 0 or more")
    if weight is not None and not 0 <= weight < 1e9:
        raise ValueError(f"{where}: weight is {weight}; write 0 or more")
    if train is not None and weight is not None and train != (weight > 0):
        raise ValueError(f"{where}: train and weight contradict each other; leave one of them out")
    if role != "assistant":
        if train or weight:
            raise ValueError(f"{where}: only the assistant's messages are learnt from; take train and weight away")
        return {}
    return {"train": train} if weight is None else {"weight": weight}


def _require_order(roles: Sequence[str], what: str, first: int) -> None:
    """Refuse a second system message, and one that is not at the front; a developer's may follow it."""
    for at, role in enumerate(roles):
        if role not in OPENERS:
            continue
        if role in roles[:at]:
            raise ValueError(f"{what}[{at}]: a second {role} message; make one of the two")
        if first or not (at == 0 or (at == 1 and role == "developer" and roles[0] == "system")):
            raise ValueError(f"{what}[{at}]: the {role} message must come first; move it to the front")


@lru_cache(maxsize=1000)
def _meant(key: str) -> str | None:
    """Return the key that was misspelt, if one is near."""
    near = difflib.get_close_matches(str(key).lower(), KEYS, n=1, cutoff=0.8)
    return near[0] if near else None
