"""Settings: configs as dotted keys, and the keys in which several differ. It knows no run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Settings = dict[str, Any]

#: Keys that change nothing in what a run comes to, or only tell seeds apart.
IGNORED = ("name", "seed_everything", "wandb", "plugins", "memorisation")
IGNORED_OF_TRAINER = ("logger", "default_root_dir", "enable_progress_bar", "enable_model_summary", "log_every_n_steps")


def flatten(config: Mapping[str, Any]) -> Settings:
    """Return a config under the keys of the command line: `method` holds a class's name, `method.r` its argument.

    What is no section and no class stays one value, so that two mappings of other keys are two values.

    Args:
        config: as `config.yaml` holds it.
    """
    flat: Settings = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and "class_path" not in value:
            flat[key] = "given"  # in other runs the section may be null
            for name, item in value.items():
                flat |= _value(f"{key}.{name}", item)
        else:
            flat |= _value(key, value)
    return flat


def differing(all_settings: Sequence[Settings]) -> list[str]:
    """Return the keys whose values differ, in the order of the first settings that have them.

    A key that some settings lack differs only where its values do elsewhere: a later version of ftlab may have added
    it, and what the lack of `method.r` says is said by `method`.

    Args:
        all_settings: of each run, as `flatten` returns them.
    """
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    ignored = {*IGNORED, *(f"trainer.{key}" for key in IGNORED_OF_TRAINER)}
    return [
        key
        for key in keys
        if key not in ignored
        and key.partition(".")[0] not in IGNORED
        and len({_text(settings[key]) for settings in all_settings if key in settings}) > 1
    ]


def identity(settings: Settings, keys: Sequence[str]) -> tuple[str, ...]:
    """Return what is equal for runs that are equal in some keys."""
    return tuple(_text(settings[key]) if key in settings else "" for key in keys)


def shown(value: Any) -> str:
    """Return a setting as the command line takes it, short enough for a table."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list) and not any(isinstance(item, (Mapping, list)) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else _text(value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key, `lr` for `optimizer.lr`; the whole key where that says too little."""
    last = [key.rpartition(".")[2] for key in keys]
    clear = {name for name in last if last.count(name) == 1 and name != "name"}
    return {key: name if name in clear else key for key, name in zip(keys, last, strict=True)}


def _value(key: str, value: Any) -> Settings:
    if isinstance(value, Mapping) and "class_path" in value:
        flat: Settings = {key: _class(value)}
        for name, item in (value.get("init_args") or {}).items():
            flat |= _value(f"{key}.{name}", item)
        return flat
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "class_path" in item for item in value):
        flat = {key: " + ".join(map(_class, value))}
        for i, item in enumerate(value):
            flat |= {name: inner for name, inner in _value(f"{key}.{i}", item).items() if name != f"{key}.{i}"}
        return flat
    return {key: value}


def _class(value: Mapping[str, Any]) -> str:
    """Return a class's name without its module, which may differ for one class."""
    return str(value["class_path"]).rpartition(".")[2]


def _text(value: Any) -> str:
    """Return the same for equal values, and for 1 and 1.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
