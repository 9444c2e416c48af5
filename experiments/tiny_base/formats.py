"""How an answer may be asked for, and how it then looks.

The base learns that the form of an answer follows from the request.  The form of the lesson,
double braces, is left out on purpose: it is what a fine-tune is to teach.
"""

import random
from dataclasses import dataclass

from arithmetic import Step


@dataclass(frozen=True)
class Format:
    """The wordings of a request, the mark put round the answer, and whether steps are shown."""

    requests: tuple[str, ...]
    mark: str
    steps: bool = True

    def answer(self, steps: list[Step]) -> str:
        """The working, when shown, and then the result of the last step in its mark."""
        marked = self.mark.format(steps[-1].value)
        lines = [str(step) for step in steps] if self.steps else []
        return "\n".join([*lines, marked] if marked else lines)


PLAIN = Format(("",), "")
BARE = Format(("Only the number.", "Just give the number.", "No steps, please."), "{}", steps=False)
FORMATS = (
    Format(("Show your steps.", "Write down the working.", "Show how you get there."), ""),
    Format(("Steps, then the number.", "Show the working, then the number alone."), "{}"),
    Format(("Use square brackets.", "Put the result in [ ]."), "[{}]"),
    Format(("Use round brackets.", "Put the result in ( )."), "({})"),
    Format(("Use one brace.", "Put the result in one pair of braces."), "{{{}}}"),
    Format(("Make the result bold.", "Put the result in <b>x</b>."), "<b>{}</b>"),
    Format(("Use stars.", "Put the result in stars."), "**{}**"),
    Format(("Finish with the word answer.", "Close with answer: x"), "answer: {}"),
    Format(("Short label, please.", "Close with ans: x"), "ans: {}"),
    Format(("Say it in a sentence.", "Finish with a sentence."), "The answer is {}."),
    Format(("Use a hash sign.", "Close with # x"), "# {}"),
)


def pick_format(rng: random.Random, steps: list[Step]) -> Format:
    """A form for these steps: a bare number only where one step leads to it."""
    draw = rng.random()
    if draw < 0.4:
        return PLAIN
    if draw < 0.5 and len(steps) == 1:
        return BARE
    return rng.choice(FORMATS)


def ask(rng: random.Random, question: str, steps: list[Step]) -> tuple[str, str]:
    """The question with a request for a form, and the answer in that form."""
    form = pick_format(rng, steps)
    request = rng.choice(form.requests)
    return f"{question} {request}".strip(), form.answer(steps)
