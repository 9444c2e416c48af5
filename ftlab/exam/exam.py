"""Exam: questions, generated answers, grades. It knows nothing of Lightning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ftlab.data.cache import cached
from ftlab.data.chat import Chat
from ftlab.data.formats import Format
from ftlab.data.rows import Row, Rows
from ftlab.data.sources import Source, read_rows
from ftlab.errors import FtlabError, require
from ftlab.exam.generation import Engine, Generation, end_ids, generate, render
from ftlab.exam.graders import Grader, Marker, ModelGrader
from ftlab.exam.grading import Combine, Marks, graded, named
from ftlab.exam.shots import with_examples
from ftlab.exam.sitting import Sitting, UngradedError
from ftlab.exam.with_vllm import require_vllm


@dataclass
class Exam:
    """Real questions, real generated answers, the same graders for the model before and after."""

    questions: str | list[str | Source]
    """File of chats, of any kind that `data.train` takes, whose last turn, the assistant's, is the reference answer. Of
    several files each is a section with a score of its own."""
    grader: Grader | list[Grader] = field(default_factory=Marker)
    """Gives points to an answer; any grader of the registry. Of several the first decides, the others are told."""
    section: str | None = None
    """Column of the questions by which the score is also told in sections."""
    shots: list[int] = field(default_factory=lambda: [0])
    """Sit it with the base also with so many examples in the prompt, drawn from `data.train`, as in `[0, 4]`."""
    max_new_tokens: int = 128
    """Longest answer in tokens; a model that does not stop is cut off here."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; above it, tokens are drawn."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this share."""
    samples: int = 1
    """Answers to each question; more than one needs a `temperature`."""
    combine: Combine = "mean"
    """What becomes of several samples: the `mean` of their points, the answer of the `majority`, or `pass_at_k`."""
    k: int = 1
    """Of `pass_at_k`: the chance that one of k samples is right, estimated from all of them."""
    batch_size: int = 64
    """Most answers generated together. Changes the speed and the memory, not greedy answers."""
    engine: Engine = "transformers"
    """What generates. `transformers` runs anywhere. `vllm` (Kwon et al., 2023, arXiv 2309.06180) wants a GPU and the
    command `vllm`, from `uv tool install vllm`; it loads the merged model anew at every sitting, a minute or so, so it
    pays for thousands of questions. Its rounding is its own: an answer here and there is another one."""
    every: int = 1
    """Sit the exam at every n-th validation; 0 means only before and after training."""
    limit: int | None = None
    """Take only the first questions of the file. Fewer are faster, and widen the interval."""
    format: Format | None = None
    """What each record of the file is, by the name of a format; null finds out by its columns."""
    seed: int = 0
    """Seed of the examples and of the drawing of answers."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for key in ("max_new_tokens", "batch_size", "limit", "samples", "k"):
            value = getattr(self, key)
            require(value is None or value >= 1, f"exam.{key}", value, "1 or more")
        require(self.every >= 0, "exam.every", self.every, "0 or more")
        require(self.temperature >= 0, "exam.temperature", self.temperature, "0 or more")
        require(0 < self.top_p <= 1, "exam.top_p", self.top_p, "a share above 0, up to 1")
        require(min(self.shots, default=0) >= 0, "exam.shots", self.shots, "numbers of examples, such as [0, 4]")
        greedy = self.samples > 1 and not self.temperature
        require(not greedy, "exam.samples", self.samples, "1, or an exam.temperature above 0: greedy answers are equal")
        require(self.k <= self.samples, "exam.k", self.k, "at most exam.samples")
        require(bool(self.graders), "exam.grader", self.grader, "one grader or more")

    @property
    def graders(self) -> list[Grader]:
        """All graders; the first decides."""
        return self.grader if isinstance(self.grader, list) else [self.grader]

    @property
    def generation(self) -> Generation:
        """How answers are made."""
        closings = [grader.closing for grader in self.graders if not isinstance(grader, ModelGrader)]
        return Generation(
            self.max_new_tokens, self.batch_size, self.temperature, self.top_p, self.samples, self.seed,
            stop=() if None in closings else tuple(filter(None, closings)), engine=self.engine,
        )  # fmt: skip

    def rows(self) -> Rows:
        """Return the questions; their file is read once, so that all sittings have the same ones.

        Raises:
            FtlabError: a chat has no reference, two have one id, the section's column is missing, or a file cannot be
                read.
        """
        return self._rows

    @cached_property
    def _rows(self) -> Rows:
        rows = read_rows(self.questions, self.format, need_answer=False, setting="exam.format")[: self.limit]
        places: dict[str, str] = {}
        for row in rows:
            if row.id in places:
                raise FtlabError(
                    f"{row.place}: the id {row.id!r} is also in {places[row.id]}; give each its own: they join sittings"
                )
            places[row.id] = row.place
            if row.reference is None:
                raise FtlabError(
                    f"{row.place}: the last turn is not the assistant's; an exam needs its reference answer"
                )
            if self.section and self.section not in row.extra:
                raise FtlabError(f"{row.place}: no column {self.section!r}; exam.section names one that every row has")
        return rows

    def check(self, chat: Chat) -> Rows:
        """Return the questions, each of which can be asked and graded.

        Raises:
            FtlabError: what `rows` raises; the chat template refuses one, or a grader does; the engine cannot run here.
        """
        if self.engine == "vllm":
            require_vllm()
        rows = self.rows()
        render(rows, chat)
        for grader in self.graders:
            grader.check(rows)
        return rows

    def sit(
        self,
        model: Any,
        chat: Chat,
        title: str = "exam",
        shots: int = 0,
        examples: Sequence[Row] = (),
        key: str | None = None,
    ) -> Sitting:
        """Let a model answer every question, and grade the answers.

        Args:
            model: a causal language model of transformers (or peft's).
            chat: the model's chat rendering.
            title: what the progress bar says.
            shots: examples before each question.
            examples: rows to draw them from.
            key: what the model is, by a hash; its answers are then kept, and not generated again. None keeps none.

        Raises:
            UngradedError: a grader gave up, such as a `Judge` whose endpoint does not reply.
        """
        rows = self.rows()
        asked = with_examples(rows, examples, shots, self.seed)
        graders = named(self.graders)
        marks: dict[str, list[Marks]] = {}
        samples: list[list[str]] | None = None
        for name, grader in graders.items():
            if isinstance(grader, ModelGrader):
                measured = grader.measure(model, chat, asked, self.batch_size, f"{title} {name}")
                marks[name] = [Marks([one.answer], [one.points]) for one in measured]
                continue
            if samples is None:
                samples = self._samples(model, chat, asked, title, key)
            pairs = tqdm(
                zip(rows, samples, strict=True),
                desc=f"{title} {name}",
                total=len(rows),
                unit=" questions",
                delay=2,
                leave=False,
            )
            try:
                marks[name] = [Marks(own, [grader.grade_row(answer, row) for answer in own]) for row, own in pairs]
            except FtlabError as error:
                raise UngradedError(str(error), rows, samples) from error
        combined = {
            name: [
                one.combine(graders[name], row, self.combine, self.k) for row, one in zip(rows, of_grader, strict=True)
            ]
            for name, of_grader in marks.items()
        }
        several = len(rows.sources) > 1
        answers = [
            graded(
                row,
                str(row.extra[self.section]) if self.section else row.source if several else "",
                {name: of_grader[i] for name, of_grader in marks.items()},
                {name: of_grader[i] for name, of_grader in combined.items()},
            )
            for i, row in enumerate(rows)
        ]
        totals = {name: graders[name].totals([text for text, _ in told], rows) for name, told in combined.items()}
        return Sitting(answers, {name: figures for name, figures in totals.items() if figures})

    def _samples(self, model: Any, chat: Chat, rows: Sequence[Row], title: str, key: str | None) -> list[list[str]]:
        """Return the answers to each question, from the cache where this model has given them."""
        prompts = render(rows, chat)
        settings = self.generation
        if key is None:
            return generate(model, chat, prompts, settings, title)

        def write(folder: Path) -> None:
            answers = generate(model, chat, prompts, settings, title)
            (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")

        ends = end_ids(model, chat)  # a base's generation config has a part in them, which no hash of its weights sees
        told = asdict(settings) if settings.temperature else asdict(settings) | {"batch_size": None, "seed": None}
        digest = sha256(json.dumps([key, told, ends, prompts]).encode()).hexdigest()[:24]
        return json.loads((cached("answers", digest, write) / "answers.json").read_text(encoding="utf-8"))
