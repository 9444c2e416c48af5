"""Endpoint: asks a model behind an OpenAI-compatible address. It knows nothing of grading."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from ftlab.errors import FtlabError

#: Answers of a server that another try may change.
PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
#: Longest wait between two tries, in seconds.
LONGEST_WAIT = 30.0


def ask(
    url: str, model: str, messages: list[dict[str, str]], key_variable: str | None, timeout: float, retries: int
) -> str:
    """Return the reply to a conversation, at temperature 0.

    Args:
        url: up to where `/chat/completions` follows, such as `http://localhost:8000/v1`.
        model: as the server calls it.
        messages: the conversation.
        key_variable: environment variable that holds the key; None sends none.
        timeout: seconds for one try.
        retries: further tries after one that failed in passing; the waits between them double from half a second.

    Raises:
        FtlabError: no reply came: what the server or the network said.
    """
    body = json.dumps({"model": model, "messages": messages, "temperature": 0}).encode()
    request = urllib.request.Request(f"{url.rstrip('/')}/chat/completions", data=body, headers=_headers(key_variable))
    for attempt in range(retries + 1):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _content(json.load(response), url)
        except urllib.error.HTTPError as error:
            said, wait = f"HTTP {error.code}: {_told(error)}", _seconds(error.headers.get("Retry-After"))
            if error.code not in PASSING:
                hint = f"; check the key in {key_variable}" if error.code in (401, 403) else "; check url and model"
                raise FtlabError(f"{url}: {said}{hint}") from error
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            said, wait = str(getattr(error, "reason", None) or error or type(error).__name__), None
        except ValueError as error:
            raise FtlabError(f"{url}: the reply is not JSON; is this an OpenAI-compatible endpoint?") from error
        if attempt < retries:
            time.sleep(min(LONGEST_WAIT, 0.5 * 2**attempt if wait is None else wait))
    raise FtlabError(f"{url}: no reply in {retries + 1} tries: {said}; is the server up?")


def _headers(key_variable: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key_variable:
        key = os.environ.get(key_variable, "").strip()
        if not key:
            raise FtlabError(f"the environment variable {key_variable} is not set; put the endpoint's key there")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _content(reply: Any, url: str) -> str:
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise FtlabError(f"{url}: the reply has no choices[0].message.content; is it OpenAI-compatible?") from error
    return content if isinstance(content, str) else ""


def _told(error: urllib.error.HTTPError) -> str:
    """Return what a server says about an error, in one short line."""
    try:
        text = error.read(2000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        told = json.loads(text)["error"]
        text = told["message"] if isinstance(told, dict) else str(told)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(str(text).split())[:200] or error.reason


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() else None
