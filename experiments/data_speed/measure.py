"""Measures how fast data become tokens, and in how much memory, against `datasets.map` with the bare tokenizer.

    python experiments/data_speed/measure.py            # 100,000 rows, both sides twice, A B A B
    python experiments/data_speed/measure.py --rows 1000000 --rounds 1

Reading (`read_rows`) stands beside it alone, in a process of its own, for its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

WORDS = (Path(__file__).parents[1] / "lesson" / "train_1k.jsonl").read_text(encoding="utf-8").split()[:4000]
ROW_BYTES = 1024


def write_chats(file: Path, rows: int) -> None:
    """Write chats of about 1 KB: half of it asked, half of it answered, no two alike."""
    rng = random.Random(0)
    words = [word for word in WORDS if word.isalpha()]

    def text(size: int) -> str:
        return " ".join(rng.choices(words, k=size // 6))

    with file.open("w", encoding="utf-8") as out:
        for i in range(rows):
            messages = [
                {"role": "user", "content": f"{i}: {text(ROW_BYTES // 2 - 60)}"},
                {"role": "assistant", "content": text(ROW_BYTES // 2 - 60)},
            ]
            out.write(json.dumps({"messages": messages}) + "\n")


READ = """
import sys, time
from ftlab.data.sources import read_rows
start = time.perf_counter()
rows = read_rows(sys.argv[1])
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(len(rows), seconds, int(status["VmHWM"].split()[0]) / 1e6)
"""


def read_alone(file: Path) -> tuple[float, float]:
    """Return seconds and peak resident GB of reading in a process of its own."""
    result = subprocess.run([sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True)
    _, seconds, peak = result.stdout.split()
    return float(seconds), float(peak)


def ours(file: Path) -> float:
    """Return the seconds that ftlab takes from read rows to stored tokens and masks."""
    from ftlab import Base
    from ftlab.data.chat import Learn
    from ftlab.data.encoding import encode_rows
    from ftlab.data.sources import read_rows

    rows, chat = read_rows(file), Base("ftlab/tiny").load_chat()
    with tempfile.TemporaryDirectory() as cache:
        kept, os.environ["FTLAB_CACHE"] = os.environ["FTLAB_CACHE"], cache
        start = perf_counter()
        encode_rows(rows, chat, Learn(), max_length=1024)
        seconds = perf_counter() - start
        os.environ["FTLAB_CACHE"] = kept
    return seconds


def bare(texts: Path) -> float:
    """Return the seconds that `datasets.map` takes with the tokenizer alone on texts that are rendered already."""
    import datasets

    from ftlab import Base

    tokenizer = Base("ftlab/tiny").load_chat().tokenizer
    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset("json", data_files=str(texts), split="train", cache_dir=cache)
        start = perf_counter()
        data.map(
            lambda batch: tokenizer(batch["text"], add_special_tokens=False),
            batched=True,
            num_proc=len(os.sched_getaffinity(0)),
            remove_columns=["text"],
        )
        return perf_counter() - start


def main() -> None:
    """Print each measurement and the ratio of the best of either side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FTLAB_CACHE"] = f"{folder}/cache"
        chats, texts = Path(folder, "chats.jsonl"), Path(folder, "texts.jsonl")
        write_chats(chats, options.rows)
        print(f"reading    {options.rows:,} rows, {chats.stat().st_size / 1e9:.2f} GB: ", end="", flush=True)
        print("{:.1f} s, peak resident memory {:.2f} GB".format(*read_alone(chats)), flush=True)
        write_texts(chats, texts)
        seconds: dict[str, list[float]] = {"ftlab": [], "datasets.map": []}
        for _ in range(options.rounds):
            for name, run in (("ftlab", lambda: ours(chats)), ("datasets.map", lambda: bare(texts))):
                seconds[name].append(run())
                print(f"{name:13}{seconds[name][-1]:.1f} s, {options.rows / seconds[name][-1]:,.0f} rows/s", flush=True)
        ratio = min(seconds["datasets.map"]) / min(seconds["ftlab"])
        print(f"ftlab's speed is {ratio:.2f} times that of datasets.map with the bare tokenizer")


def write_texts(chats: Path, texts: Path) -> None:
    """Write the rendered chats, for the other side to tokenize."""
    from transformers.utils.chat_template_utils import render_jinja_template

    from ftlab import Base

    tokenizer = Base("ftlab/tiny").load_chat().tokenizer
    with chats.open(encoding="utf-8") as lines, texts.open("w", encoding="utf-8") as out:
        for line in lines:
            conversation = json.loads(line)["messages"]
            rendered, _ = render_jinja_template([conversation], chat_template=tokenizer.chat_template)
            out.write(json.dumps({"text": rendered[0]}) + "\n")


if __name__ == "__main__":
    main()
