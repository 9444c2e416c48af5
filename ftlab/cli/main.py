"""Main: finds the command that was typed. It imports nothing heavy, so that `ftlab --help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ftlab import __version__
from ftlab.errors import EXIT_BUG, EXIT_INTERRUPTED, FtlabError

HELP = f"""ftlab {__version__}: which fine-tuning method really works on my task?

usage: ftlab COMMAND ... [--debug]

train and measure (every setting of the YAML is also an option; see ftlab fit --help)
  fit       --config X.yaml [--method LoRA --method.r 16 --optimizer.lr 1e-3 ...]
            fine-tune, keep the best checkpoint, sit the exam before and after, write a report
            --ckpt_path last goes on from the newest run of that name
  folds     --config X.yaml --k 5 [any option of fit]
            fit once for each fold, and say mean and interval of the exam
  sweep     SWEEP.yaml [any option of fit]
            fit with many settings, by grid, random choice or TPE, and say which are best; goes on where it was stopped
            --find-lr --config X.yaml in place of the file tries learning rates in short runs
  validate  RUN              loss and perplexity of a run's best checkpoint
  test      RUN              the same and the exam
  predict   RUN --prompts FILE.jsonl [--output FILE.jsonl]
            answer every chat of a file; --adapters RUN RUN ... in place of RUN answers with each, on one base
  exam      RUN|CONFIG [--base] [--shots 4] [--harness hellaswag]
            sit the exams without training: base, base with examples in its prompt, tuned, and which is better

look
  diagnose  RUN|FILE         the state of a training by its curves, why, and the settings of the next run;
            FILE is a CSV, a trainer_state.json or W&B's run-*.wandb
  compare   RUN ... [--html FILE]
            what differs between runs and what came out, seeds joined, tested against the best, costs, warnings
  data      show CONFIG      rows as the model sees them; also check (what is wrong with them, what leaks)
            and prepare (cleaned and split, as Parquet); see ftlab data --help
  methods   [NAME]           the fine-tuning methods, built-in and plugins; the settings of one
  methods   check NAME [--method.r 16 ...]
            hold a method to the contract on small random models, a line for each check

use
  chat      RUN              talk to a run's best checkpoint
  merge     RUN --output DIR fold the adapter into a plain transformers model

RUN is a folder runs/<name>/<stamp>. validate, test and predict also take --config and --ckpt_path.
--plugins FILE.py (or a module's name) loads a method, grader, format or step of your own; files in ./plugins anyway.
Exit codes: 0 done, 1 a fault in ftlab (--debug shows where), 2 a fault in the input, 4 refused: weights that belong to
another base, tokenizer or chat template, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code that the help documents."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if args[0] == "--version":
        print(f"ftlab {__version__}")
        return 0
    try:
        from ftlab.cli.commands import run_command

        return run_command(args[0], args[1:])
    except KeyboardInterrupt:
        print("ftlab: interrupted; ftlab fit ... --ckpt_path last goes on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `ftlab data check ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FtlabError as error:
        if debug:
            raise
        print(f"ftlab: error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        reason = (str(error).strip() or "no message").splitlines()[0]
        print(f"ftlab: error: {type(error).__name__}: {reason}; --debug shows where", file=sys.stderr)
        return EXIT_BUG
