"""HTML: a template with a style sheet and a script as one page that needs no other file. It knows no contents."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ftlab.errors import FtlabError

_HERE = Path(__file__).parent


def write_page(file: Path, template: str, *, styles: list[str], script: str | None = None, **values: Any) -> Path:
    """Write a page and return its file. Contents are shown as text only; nothing but its own script runs.

    Args:
        file: where to.
        template: name of the template; it extends `base.html`, which holds style sheets and script.
        styles: names of style sheets; later ones win.
        script: name of the script, if it has one.
        values: what the template shows.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    code = _read(script) if script else ""
    page = environment.get_template(template).render(
        style=Markup("\n".join(map(_read, styles))),
        script=Markup(code),
        script_hash=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        **values,
    )
    # A lone half of a surrogate pair, which JSON can hold and UTF-8 cannot, must not cost the whole page.
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise FtlabError(f"{file}: cannot be written ({error.strerror}); name another place") from error
    return file


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
