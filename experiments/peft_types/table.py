"""Table: tries every tuner type of peft as ftlab runs it, on a random two-layer model. It knows no command line.

Run from the repository: python experiments/peft_types/table.py. It writes table.json and the table in README.md.
"""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from tqdm import tqdm

HERE = Path(__file__).parent
CASES: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "cases.yaml").read_text(encoding="utf-8"))
CHECKS = ("fit", "generate", "reload", "peft", "merge")
IDS = torch.randint(10, 100, (2, 12), generator=torch.Generator().manual_seed(1))
STEPS = 12
NOT_REACHED = "not reached"
ARCHITECTURES = ("llama", "qwen2")
BEGIN, END = "<!-- table -->", "<!-- /table -->"
HEADER = """\
| type | settings tried | fit | generate | save, load | plain peft | merge | starts as | on Qwen2 | to know |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def base(architecture: str) -> Any:
    """Return the random model: always the same weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(architecture, **sizes, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # transformers starts them at zero, where GLORA's factors have no gradient
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def experts(architecture: str, folder: Path) -> None:
    """Write two LoRA adapters for XLORA to mix."""
    from ftlab.methods import LoRA

    for i in range(2):
        method = LoRA(r=2)
        model = method.apply(base(architecture))
        torch.manual_seed(i)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.1)
        method.save(model, folder / str(i))


def probe(peft_type: str, architecture: str, folder: Path) -> dict[str, Any]:
    """Return what works for a type: `yes` or the reason, for each of the checks.

    Args:
        peft_type: its name in peft.
        architecture: the base's, as transformers names it.
        folder: for what the checks write.
    """
    from ftlab.methods import Peft

    settings = json.dumps((CASES[peft_type] or {}).get("settings", {})).replace("EXPERTS", str(folder / "experts"))
    if peft_type == "XLORA":
        experts(architecture, folder / "experts")
    method = Peft(peft_type, json.loads(settings))
    result = {"starts_as_base": False, **dict.fromkeys(CHECKS, NOT_REACHED)}

    def applied(seed: int) -> Any:
        model = base(architecture)
        torch.manual_seed(seed)
        return method.apply(model)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = applied(1)
            result["starts_as_base"] = bool((logits(model) - logits(base(architecture))).abs().max() < 1e-5)
            result["fit"] = fitted(method, model)
        except Exception as error:
            return result | {"fit": reason(error)}
        expected = logits(model)
        checks = {
            "generate": lambda: generated(model),
            "reload": lambda: reloaded(method, model, applied, folder / "weights", expected),
            "peft": lambda: opened(peft_type, architecture, folder / "weights", expected),
            "merge": lambda: merged(method, model, folder / "merged", expected),
        }
        for name, check in checks.items():
            try:
                result[name] = check()
            except Exception as error:
                result[name] = reason(error)
    return result


def logits(model: Any, **kwargs: Any) -> torch.Tensor:
    """Return the logits of the chat's own tokens."""
    with torch.no_grad():
        return model.eval()(input_ids=IDS, use_cache=False, **kwargs).logits[:, -IDS.shape[1] :].clone()


def loss(model: Any) -> torch.Tensor:
    """Return the loss as FineTuner does."""
    output = model(input_ids=IDS, use_cache=False).logits[:, -IDS.shape[1] : -1]
    return torch.nn.functional.cross_entropy(output.flatten(0, 1), IDS[:, 1:].flatten())


def fitted(method: Any, model: Any) -> str:
    """Train some steps: the loss falls, all that is trainable moves, and nothing else."""
    before = {name: (p.requires_grad, p.detach().clone()) for name, p in model.named_parameters()}
    free = [p for group in method.param_groups(model) for p in group["params"]]
    first = float(loss(model.eval()).detach())
    optimizer = torch.optim.AdamW(free, lr=1e-2, weight_decay=0.0)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    last = float(loss(model.eval()).detach())
    moved = {name: not torch.equal(p, before[name][1]) for name, p in model.named_parameters()}
    if wrong := [name for name, (trains, _) in before.items() if trains and not moved[name]]:
        return f"{len(wrong)} of {len(free)} tensors never move ({short(wrong[0])})"
    if wrong := [name for name, (trains, _) in before.items() if moved[name] and not trains]:
        return f"a frozen tensor moves ({short(wrong[0])})"
    if not last < first - 1e-3:
        return f"the loss does not fall ({first:.3f} to {last:.3f})"
    return "yes"


def generated(model: Any) -> str:
    """Compare the logits of cached generation from a left-padded prompt, as exams do, with whole passes."""
    prompt, pads = IDS[:1, :6], torch.zeros(1, 2, dtype=torch.long)
    mask = torch.cat((pads, torch.ones_like(prompt)), dim=1)
    options = {"max_new_tokens": 4, "do_sample": False, "use_cache": True, "pad_token_id": 0, "eos_token_id": -1}
    options |= {"return_dict_in_generate": True, "output_logits": True}
    with torch.no_grad():
        output = model.eval().generate(input_ids=torch.cat((pads, prompt), dim=1), attention_mask=mask, **options)
        text = output.sequences[:, 2:]
        whole = model(input_ids=text[:, :-1], use_cache=False).logits[:, -4:]
    return compared(torch.stack(output.logits, dim=1), whole, 1e-4)


def reloaded(method: Any, model: Any, applied: Any, folder: Path, expected: torch.Tensor) -> str:
    """Save, and load into a fresh model whose new weights were drawn with another seed."""
    method.save(model, folder)
    again = applied(2)
    method.load(again, folder)
    return compared(logits(again), expected, 0.0)


def opened(peft_type: str, architecture: str, folder: Path, expected: torch.Tensor) -> str:
    """Open the folder with plain peft."""
    from peft import PeftModel

    tasks = {"task_ids": torch.zeros(2, dtype=torch.long)} if peft_type in ("POLY", "MULTITASK_PROMPT_TUNING") else {}
    model = base(architecture)
    model.config.use_cache = peft_type != "XLORA"
    torch.manual_seed(3)
    return compared(logits(PeftModel.from_pretrained(model, str(folder)), **tasks), expected, 1e-5)


def merged(method: Any, model: Any, folder: Path, expected: torch.Tensor) -> str:
    """Fold in, save, and load without peft."""
    from transformers import AutoModelForCausalLM

    from ftlab.errors import FtlabError

    try:
        plain = method.merge(copy.deepcopy(model))
    except FtlabError as error:
        return f"refused: {error}"
    plain.save_pretrained(str(folder))
    return compared(
        logits(AutoModelForCausalLM.from_pretrained(str(folder), attn_implementation="eager")), expected, 1e-4
    )


def compared(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> str:
    """Return yes, or by how much logits differ."""
    difference = float((found - expected).abs().max())
    return "yes" if difference <= tolerance else f"logits differ by {difference:.0e}"


def short(name: str) -> str:
    """Return a parameter's name without what peft puts around it."""
    return name.removeprefix("base_model.model.").replace(".default", "")


def reason(error: Exception) -> str:
    """Return an exception as one line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def row(peft_type: str, record: dict[str, Any]) -> str:
    """Return a type's line of the Markdown table."""
    first, second = (record[name] for name in ARCHITECTURES)
    differs = [f"{check}: {second[check]}" for check in CHECKS if second[check] not in (first[check], NOT_REACHED)]
    reasons = [f"{check}: {first[check]}" for check in CHECKS if first[check] != "yes" and "apart" not in first[check]]
    reasons = [text.replace("refused: method: ", "").split(". ")[0] for text in reasons]
    settings = ", ".join(f"{name}: {value}" for name, value in record["settings"].items())
    notes = "; ".join(filter(None, [record["needs"], *reasons]))
    cells = [
        peft_type,
        f"`{settings}`" if settings else "",
        *("yes" if first[check] == "yes" else "no" for check in CHECKS),
        "base" if first["starts_as_base"] else "other",
        ", ".join(differs) or "same",
        notes.replace("|", "/"),
    ]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def grouped(records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the short table of the project's README: types that pass everything in one line, the others with why."""
    shown = ("fit", "reload", "merge")
    whole = [name for name, record in records.items() if all(record["llama"][check] == "yes" for check in shown)]
    lines = [
        "| `peft_type` | fit | save, reload | merge | where not, and why |",
        "|---|---|---|---|---|",
        f"| {', '.join(whole)} | yes | yes | yes | |",
    ]
    for name, record in records.items():
        if name not in whole:
            cells = ["yes" if record["llama"][check] == "yes" else "no" for check in shown]
            reasons = [record["llama"][check].split(". ")[0] for check in shown if record["llama"][check] != "yes"]
            why = "; ".join(reasons).replace("|", "/").removesuffix("; keep base and adapter apart")
            why = why.removeprefix("refused: method: ").removeprefix("Peft cannot be merged: ")
            lines.append(f"| {name} | {' | '.join(cells)} | {why} |")
    return lines


def put(file: Path, lines: list[str]) -> None:
    """Put a table between the marks of a Markdown file."""
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    text = "\n".join([before + BEGIN, *lines, END + rest.partition(END)[2]])
    file.write_text(text, encoding="utf-8")


def write(records: dict[str, dict[str, Any]]) -> None:
    """Write table.json, and the tables into README.md here and at the top."""
    versions = {name: importlib.metadata.version(name) for name in ("peft", "torch", "transformers")}
    table = json.dumps({"versions": versions, "types": records}, indent=1)
    (HERE / "table.json").write_text(table + "\n", encoding="utf-8")
    put(HERE / "README.md", [*HEADER.splitlines(), *(row(name, record) for name, record in records.items())])
    put(HERE.parent.parent / "README.md", grouped(records))


def main() -> None:
    """Try all types and write the tables."""
    if importlib.util.find_spec("sklearn") is None:
        raise SystemExit("ADAMSS needs scikit-learn: pip install scikit-learn")
    records = {}
    for peft_type in tqdm(sorted(CASES), unit="type"):
        case = CASES[peft_type] or {}
        records[peft_type] = {"settings": case.get("settings", {}), "needs": case.get("needs", "")}
        for architecture in ARCHITECTURES:
            with tempfile.TemporaryDirectory() as folder:
                records[peft_type][architecture] = probe(peft_type, architecture, Path(folder))
    write(records)


if __name__ == "__main__":
    main()
