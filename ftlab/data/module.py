"""ChatData: the LightningDataModule that takes data of any format to batches. It knows no methods and no grading."""

from __future__ import annotations

from typing import Any, Literal

import lightning.pytorch as pl
import torch

from ftlab.data.chat import Chat, Learn
from ftlab.data.curriculum import Curriculum, order_keys
from ftlab.data.encoding import Encoding, encode_rows, sort_out
from ftlab.data.examples import Examples
from ftlab.data.formats import Format
from ftlab.data.loader import PlanLoader
from ftlab.data.mixture import Mixture, Replay, Selection, select
from ftlab.data.plan import BatchPlan
from ftlab.data.preparation import OnError, OnLeak, Prepared, Sources, prepare, with_prepared_folder
from ftlab.data.quality.cleaning import Step
from ftlab.data.rows import Rows
from ftlab.data.splits import Split
from ftlab.errors import FtlabError, require


class ChatData(pl.LightningDataModule):
    """Data to learn from and data held out, rendered through the model's own chat template.

    Args:
        train: What is learnt from: a file (JSON, JSONL, CSV, TSV, Parquet, Arrow, text; also .gz and .zst), a folder, a
            glob, a Hub id, or a list of these; an entry with settings of its own is `{path: ..., weight: ...}`.
        validation: Held out for the validation loss; without it, and without `split` or `fold`, there is none.
        test: Held out for `ftlab test` alone; null measures on the validation data.
        format: What each record is, by the name of a format; null finds out by its columns.
        on_error: A row at fault: `stop` ends with its file and line; `skip` leaves it out, counts and lists it.
        clean: Steps, in order, that change rows of every split, and leave out training rows (with `held_out` all).
        split: How validation and test are taken out of the training data; null takes none.
        fold: `2/5` holds out the second of five parts for validation, and learns from the others.
        on_leak: A question of the validation, test or exam data in the training data: `stop` names both places; `drop`
            leaves the training row out; `warn` says so and goes on.
        mixture: How several sources are mixed; null takes every row once.
        replay: A source of what the model knows already, mixed in against forgetting.
        curriculum: The order of an epoch; null is random.
        learn: What is learnt: `all_assistant` turns, the `last_assistant` turn, or `all` tokens. A message's own
            `train: false` or `weight` counts besides.
        learn_reasoning: Whether the assistant's reasoning is learnt too.
        max_length: Longest chat in tokens. Longer ones cost memory with the square of their length.
        unfit: A chat longer than `max_length` or with nothing to learn: `drop` leaves it out, counts and lists it;
            `truncate` cuts off its end (and drops it if nothing to learn remains); `error` stops.
        packing: Lay several chats end to end in rows of `max_length` tokens, none of which sees another: the same loss.
        batch_size: Chats, or packed rows, in one forward pass. More is faster on a GPU and takes more memory.
        batch_tokens: Most tokens, with any padding, in one forward pass; replaces `batch_size`, uses memory evenly.
        seed: Seed of the order of batches; None takes the run's `seed_everything`.
    """

    def __init__(
        self,
        train: Sources | None = None,
        validation: Sources | None = None,
        test: Sources | None = None,
        format: Format | None = None,
        on_error: OnError = "stop",
        clean: list[Step] | None = None,
        split: Split | None = None,
        fold: str | None = None,
        on_leak: OnLeak = "stop",
        mixture: Mixture | None = None,
        replay: Replay | None = None,
        curriculum: Curriculum | None = None,
        learn: Literal["all_assistant", "last_assistant", "all"] = "all_assistant",
        learn_reasoning: bool = True,
        max_length: int = 1024,
        unfit: Literal["drop", "truncate", "error"] = "drop",
        packing: bool = False,
        batch_size: int = 8,
        batch_tokens: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        for key, value in (("max_length", max_length), ("batch_size", batch_size), ("batch_tokens", batch_tokens or 1)):
            require(value >= 1, f"data.{key}", value, "1 or more")
        self.train = train
        self.validation = validation
        self.test = test
        self.format = format
        self.on_error = on_error
        self.clean = clean
        self.split = split
        self.fold = fold
        self.on_leak = on_leak
        self.mixture = mixture
        self.replay = replay
        self.curriculum = curriculum
        self.learn = learn
        self.learn_reasoning = learn_reasoning
        self.max_length = max_length
        self.unfit = unfit
        self.packing = packing
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.held_out: dict[str, Rows] = {}  # further rows that must not be learnt: the exam's questions
        self.prepared: Prepared | None = None
        self.dropped: list[str] = []  # a line for each chat that was read and cannot be learnt
        self.examples: dict[str, Examples] = {}
        self._order: dict[str, Any] = {}  # which examples an epoch draws, and in what order, for the plan
        self._train_loader: PlanLoader | None = None
        self._skip = 0  # batches of the epoch that a resumed run has had

    def setup(self, stage: str) -> None:
        """Load what the stage needs; Lightning calls this before the model is loaded."""
        trainer = self._trainer()
        self.load(trainer.lightning_module.chat, stage, trainer.max_epochs)

    def load(self, chat: Chat, stage: str, epochs: int | None = None) -> None:
        """Read and encode the data of a stage, once.

        Args:
            chat: the model's chat rendering.
            stage: `fit` needs all, any other only what is held out.
            epochs: of the run, over which a mixture's weights move.

        Raises:
            FtlabError: a file or a row is at fault, there is a leak, or there is nothing to train on.
        """
        for split, rows in self.prepare(stage).rows.items():
            if split not in self.examples and not (stage == "fit" and split == "test"):
                self.examples[split] = self.encode(rows, chat, split)
                if split == "train":
                    self._order = self._ordered(rows, epochs)

    def prepare(self, stage: str = "fit") -> Prepared:
        """Read, clean and split the rows that a stage needs, once; no tokens yet. Raises what `load` does."""
        if self.prepared is not None:
            return self.prepared
        if stage == "fit" and self.train is None:
            raise FtlabError("data.train: not set; name a file of chats to learn from")
        sources = with_prepared_folder({"train": self.train, "validation": self.validation, "test": self.test})
        if stage != "fit" and not (self.split or self.fold):
            sources.pop("train", None)
        self.prepared = prepare(
            sources,
            format=self.format,
            on_error=self.on_error,
            steps=self.clean or [],
            split=self.split,
            fold=self.fold,
            replay=self.replay,
            on_leak=self.on_leak if stage == "fit" else "warn",
            held_out=self.held_out,
        )
        return self.prepared

    @property
    def selection(self) -> Selection | None:
        """Which training examples an epoch draws; None is each of them once."""
        return self._order.get("selection")

    def encoding(self, rows: Rows, chat: Chat, title: str = "chats") -> Encoding:
        """Return rows as the model sees them, the unfit ones too."""
        learn = Learn(self.learn, self.learn_reasoning)
        return encode_rows(rows, chat, learn, self.max_length, self.unfit == "truncate", f"encoding {title}")

    def encode(self, rows: Rows, chat: Chat, title: str = "chats") -> Examples:
        """Encode rows and apply the policy for unfit ones.

        Raises:
            FtlabError: the template refuses a row, with `unfit: error` a row is unfit; in any case, no row is left.
        """
        encoding = self.encoding(rows, chat, title)
        if (refused := encoding.refused(rows)) and self.on_error == "stop":
            raise FtlabError(refused[0])
        examples, unfit = sort_out(encoding.examples, rows, self.max_length)
        if unfit and self.unfit == "error":
            raise FtlabError(f"{unfit[0]}; raise data.max_length, mend the row, or set data.unfit to drop")
        self.dropped += refused + unfit
        if not len(examples):
            raise FtlabError(f"{rows.place(0)}: no chat is left to learn from; first: {(refused + unfit)[0]}")
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
        return self._loader("train", shuffle=True, pack=False)

    def val_dataloader(self) -> PlanLoader | list[Any]:
        """Return the validation batches, longest first; an empty list where there is no validation data."""
        return self._loader("validation") if "validation" in self.examples else []

    def test_dataloader(self) -> PlanLoader | list[Any]:
        """Return the test batches, or where there is no test data those of validation."""
        return self._loader("test") if "test" in self.examples else self.val_dataloader()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return a batch on the device that trains; on a CPU it is there, and Lightning would look at every tensor."""
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the epoch has come, for a run that resumes in its middle.

        Lightning loses the states of loaders where the schedule asks for the number of steps before they are restored.
        """
        finished = self._train_loader is None or self._trainer().is_last_batch
        return {"delivered": 0 if finished else self._train_loader.delivered}  # type: ignore[union-attr]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next epoch's iteration begin where the checkpoint's left off."""
        self._skip = state_dict["delivered"]

    def left_out(self) -> list[str]:
        """Return a line for each row that is not learnt from, and why."""
        return [*(self.prepared.left_out() if self.prepared else []), *self.dropped]

    def _loader(self, split: str, shuffle: bool = False, accumulate: int = 1, pack: bool = True) -> PlanLoader:
        trainer = self._trainer()
        tuner, examples = trainer.lightning_module, self.examples[split]
        plan = BatchPlan(
            lengths=examples.lengths,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            padded=not tuner.way.unpadded,
            pack_length=self.max_length if self.packing and pack else None,
            accumulate=accumulate,
            world_size=trainer.world_size,
            seed=(tuner.seed or 0) if self.seed is None else self.seed,
            shuffle=shuffle,
            **(self._order if split == "train" else {}),
        )
        return PlanLoader(examples, plan, tuner.chat.pad_id, trainer.global_rank, epoch=lambda: trainer.current_epoch)

    def _ordered(self, rows: Rows, epochs: int | None) -> dict[str, Any]:
        assert self.prepared is not None
        examples = self.examples["train"]
        replayed = examples.row_ids >= len(rows) - self.prepared.replayed
        names = examples.source_ids, examples.sources, self.prepared.sources
        keys = order_keys(self.curriculum, rows, examples, ~replayed) if self.curriculum else None
        return {"selection": select(*names, self.mixture, self.replay, replayed, epochs), "keys": keys}

    def _trainer(self) -> Any:
        assert self.trainer is not None, "the loaders need a Trainer"
        return self.trainer
