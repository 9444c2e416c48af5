"""The command `ftlab data prepare`: the cleaned and split data as a folder of Parquet files with a card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from ftlab.cli.data.settings import open_data, read_settings
from ftlab.config import describe
from ftlab.data.card import counts_line, refuse_full_folder, write_prepared
from ftlab.data.module import ChatData

DESCRIPTION = """\
Write the data as they are after reading, cleaning, the search for leaks and splitting: a Parquet file for each split,
card.json and README.md with counts, fingerprints and settings. fit takes the folder: --data.train DIR
"""


def prepare(args: Sequence[str]) -> None:
    """Write the data.

    Raises:
        FtlabError: a setting or a row is at fault, there is a leak, or the folder is not empty.
    """
    settings = read_settings("prepare", DESCRIPTION, args, _add_options)
    folder = Path(settings.output)
    refuse_full_folder(folder)
    data = open_data(settings)
    data.replay = None  # a part of a run's epochs, not of its data
    card = write_prepared(data.prepare(), describe(data, known=ChatData), folder)
    print(f"prepared   {folder}   {counts_line(card)}; {card['left_out']['count']:,} rows left out")
    print(f"train      ftlab fit --data.train {folder} ...")


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--output", type=str, required=True, metavar="DIR", help="Folder to make.")
