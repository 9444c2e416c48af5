"""Write `ftlab/tiny/retention.jsonl`: what the base could do before, 200 questions that it was not trained on.

Example: ``python retention.py --avoid data/train.jsonl data/polish.jsonl --output ../../ftlab/tiny/retention.jsonl``
"""

import argparse
import json
import random
from itertools import islice
from pathlib import Path

from generate import distinct_chats, key, questions

ROWS, SEED, SKILLS = 200, 5, 0.5


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description="Write questions on what the base could do before.")
    parser.add_argument("--avoid", type=Path, nargs="+", required=True, help="the chats that it was trained on")
    parser.add_argument("--output", type=Path, required=True, help="the JSONL file to write")
    options = parser.parse_args()
    taken = set().union(*map(questions, options.avoid))
    chats = distinct_chats(random.Random(SEED), taken, SKILLS)
    single = (messages for messages in chats if [m["role"] for m in messages] == ["user", "assistant"])
    asked = {key(messages): messages for messages in islice(single, 2 * ROWS)}
    with options.output.open("w", encoding="utf-8") as file:
        for i, messages in enumerate(list(asked.values())[:ROWS]):
            file.write(json.dumps({"id": f"general-{i}", "messages": messages}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
