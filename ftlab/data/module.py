"""ChatData: the LightningDataModule that takes files of chats to batches. It knows nothing of methods or grading."""

from __future__ import annotations

from typing import Any, Literal

import lightning.pytorch as pl
from tqdm import tqdm

from ftlab.data.chat import Chat, Encoded
from ftlab.data.formats import Format
from ftlab.data.loader import PlanLoader, supervised
from ftlab.data.plan import BatchPlan
from ftlab.data.rows import Row, read_rows
from ftlab.errors import FtlabError, require

#: Chats rendered and tokenized at once.
CHUNK = 1000


class ChatData(pl.LightningDataModule):
    """Training and validation data: files of chats, rendered through the model's own chat template.

    Args:
        train: JSONL file of chats to learn from, one a line in the `format`.
        validation: JSONL file of chats held out for the validation loss; without it there is none.
        max_length: Longest chat in tokens. Longer ones cost memory with the square of their length.
        batch_size: Chats in one forward pass of one device. More is faster on a GPU and takes more memory.
        batch_tokens: Largest number of tokens, padding included, in one forward pass; replaces `batch_size`. Batches
            of short chats then hold more of them, so memory is used evenly.
        unfit: What happens to a chat that is longer than `max_length` or has nothing to learn: `drop` leaves it out,
            counts and lists it; `truncate` cuts off its end (and drops it if nothing to learn remains); `error` stops.
        seed: Seed of the order of batches; None takes the run's `seed_everything`.
        format: What each line of the files is, by the name of a format; null is `Messages`, `{"messages": [...]}`.
    """

    def __init__(
        self,
        train: str | None = None,
        validation: str | None = None,
        max_length: int = 1024,
        batch_size: int = 8,
        batch_tokens: int | None = None,
        unfit: Literal["drop", "truncate", "error"] = "drop",
        seed: int | None = None,
        format: Format | None = None,
    ) -> None:
        super().__init__()
        for key, value in (("max_length", max_length), ("batch_size", batch_size), ("batch_tokens", batch_tokens or 1)):
            require(value >= 1, f"data.{key}", value, "1 or more")
        self.train = train
        self.validation = validation
        self.max_length = max_length
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.unfit = unfit
        self.seed = seed
        self.format = format
        self.dropped: list[str] = []  # one line for each chat left out: its place and why
        self.examples: dict[str, list[Encoded]] = {}
        self._train_loader: PlanLoader | None = None
        self._skip = 0  # batches of the epoch that a resumed run has had

    def setup(self, stage: str) -> None:
        """Load what the stage needs; Lightning calls this before the model is loaded."""
        self.load(self._trainer().lightning_module.chat, stage)

    def load(self, chat: Chat, stage: str) -> None:
        """Read and encode the files of a stage, once.

        Args:
            chat: the model's chat rendering.
            stage: `fit` needs both files, any other only the validation data.

        Raises:
            FtlabError: a file is at fault, or there is none to train on.
        """
        if stage == "fit" and self.train is None:
            raise FtlabError("data.train: not set; name a JSONL file of chats to learn from")
        paths = {"train": self.train if stage == "fit" else None, "validation": self.validation}
        for split, path in paths.items():
            if path is not None and split not in self.examples:
                self.examples[split] = self.encode(read_rows(path, self.format), chat)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return chats, tokens and supervised tokens of each split that was loaded."""
        return {
            split: {
                "chats": len(examples),
                "tokens": sum(len(example.ids) for example in examples),
                "supervised": sum(map(supervised, examples)),
            }
            for split, examples in self.examples.items()
        }

    def encode(self, rows: list[Row], chat: Chat) -> list[Encoded]:
        """Encode rows and apply the policy for unfit ones.

        Raises:
            FtlabError: with `unfit: error` the first unfit row; in any case, no row is left.
        """
        examples: list[Encoded] = []
        bar = tqdm(total=len(rows), desc=f"reading {rows[0].file}", unit=" chats", delay=2, leave=False)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            for row, example in zip(chunk, _encode_chunk(chunk, chat), strict=True):
                if (fit := self._make_fit(row, example)) is not None:
                    examples.append(fit)
            bar.update(len(chunk))
        bar.close()
        if not examples:
            raise FtlabError(f"{rows[0].file}: no chat is left to learn from; first: {self.dropped[0]}")
        return examples

    def train_dataloader(self) -> PlanLoader:
        """Return the shuffled, length-grouped batches of the current epoch."""
        trainer = self._trainer()
        self._train_loader = self._loader("train", shuffle=True, accumulate=trainer.accumulate_grad_batches)
        self._train_loader.limit = trainer.limit_train_batches
        self._train_loader.skip, self._skip = self._skip, 0
        return self._train_loader

    def look(self) -> PlanLoader:
        """Return the batches of the first epoch for a look before training, which moves no place in the data."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> PlanLoader | list[Any]:
        """Return the validation batches, longest first; an empty list where there is no validation data."""
        return self._loader("validation") if "validation" in self.examples else []

    def test_dataloader(self) -> PlanLoader | list[Any]:
        """Return the same batches as validation."""
        return self.val_dataloader()

    def state_dict(self) -> dict[str, Any]:
        """Return how far the epoch has come, for a run that resumes in its middle.

        Lightning's own states of loaders are lost where the number of steps is asked for before they are restored,
        as the schedule does.
        """
        finished = self._train_loader is None or self._trainer().is_last_batch
        return {"delivered": 0 if finished else self._train_loader.delivered}  # type: ignore[union-attr]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next epoch's iteration begin where the checkpoint's left off."""
        self._skip = state_dict["delivered"]

    def _loader(self, split: str, shuffle: bool = False, accumulate: int = 1) -> PlanLoader:
        trainer = self._trainer()
        examples = self.examples[split]
        plan = BatchPlan(
            lengths=[len(example.ids) for example in examples],
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            accumulate=accumulate,
            world_size=trainer.world_size,
            seed=(trainer.lightning_module.seed or 0) if self.seed is None else self.seed,
            shuffle=shuffle,
        )
        pad_id = trainer.lightning_module.chat.pad_id
        return PlanLoader(examples, plan, pad_id, trainer.global_rank, epoch=lambda: trainer.current_epoch)

    def _trainer(self) -> Any:
        assert self.trainer is not None, "the loaders need a Trainer"
        return self.trainer

    def _make_fit(self, row: Row, example: Encoded) -> Encoded | None:
        """Return the example to train on, or None after noting why the row is left out."""
        fault = None
        if len(example.ids) > self.max_length:
            fault = f"{row.place}: {len(example.ids)} tokens, data.max_length is {self.max_length}"
            if self.unfit == "truncate":
                example, fault = Encoded(example.ids[: self.max_length], example.mask[: self.max_length]), None
        if fault is None and not supervised(example):
            fault = f"{row.place}: no assistant turn within {self.max_length} tokens, so nothing to learn"
        if fault is None:
            return example
        if self.unfit == "error":
            raise FtlabError(f"{fault}; raise data.max_length, mend the row, or set data.unfit to drop")
        self.dropped.append(fault)
        return None


def _encode_chunk(rows: list[Row], chat: Chat) -> list[Encoded]:
    """Encode rows together for speed; if the template refuses one, find out which and name its place."""
    try:
        return chat.encode([row.messages for row in rows])
    except FtlabError:
        for row in rows:
            try:
                chat.encode([row.messages])
            except FtlabError as error:
                raise FtlabError(f"{row.place}: {error}") from error
        raise
