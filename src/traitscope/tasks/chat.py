"""A task's turns in a tokenizer's chat template: what generation is prompted with, what a closed turn looks like.

The template's own closed turn is the truth: a row that is trained or scored is what ``apply_chat_template`` makes of
the turns with the answer in them, token for token, up to the end of the assistant's turn. The tokenizer's own special
tokens are never added: a chat has those that its template writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from traitscope.config.bounds import SECONDS
from traitscope.errors import TraitscopeError
from traitscope.registry import near_names
from traitscope.store.reading import CLOCK
from traitscope.tasks.deadline import TookTooLong, within

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitscope.tasks.task import Task

# Stands for an answer where the text around it is looked for: plain letters, which no template alters or strips.
SENTINEL = "sentinel"
_DIRECTIVES = "aAwdbBmyYHIpMSfzZjUWcxXGuVeFDTRhsklPCgrnt"
_PERCENT = json.dumps("\0")

Turn = dict[str, str]


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """What ends an answer.

    Attributes:
        ids: its tokens.
        text: a stop string, where the end is no token that the tokenizer always keeps whole; else None.
        shown: how it is written.
        closed: the chat template closes its turns with it; False for the end-of-sequence token.
    """

    ids: tuple[int, ...]
    text: str | None
    shown: str
    closed: bool


class Around(NamedTuple):
    """The text of a closed turn before its answer and behind it."""

    lead: str
    tail: str


def sequence_end(tokenizer: PreTrainedTokenizerBase) -> AnswerEnd:
    """The end-of-sequence token as the end of an answer.

    Raises:
        TraitscopeError: the tokenizer has none.
    """
    if tokenizer.eos_token_id is None:
        raise TraitscopeError(
            "the tokenizer has no end-of-sequence token, so no answer could ever end",
            where="tokenizer",
            fix="set eos_token in its tokenizer_config.json",
        )
    return AnswerEnd((int(tokenizer.eos_token_id),), None, str(tokenizer.eos_token), False)


class Chat:
    """A task's chat under one tokenizer. ``end`` is what its template closes an assistant's turn with.

    Raises:
        TraitscopeError: the tokenizer has no template, or the template refuses the task's turns.
    """

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
        self._task = task
        self._tokenizer = tokenizer
        self._where = _place(task)
        self._options = _template_options(task, tokenizer)
        self.end = self._find_end()

    def ids(self, text: str) -> list[int]:
        """A rendered chat's tokens, as ``apply_chat_template(tokenize=True)`` gives them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def opened(self, turns: Sequence[Turn]) -> str:
        """The turns and the start of the assistant's: what generation is prompted with."""
        return self._render([*turns], add_generation_prompt=True)

    def closed(self, turns: Sequence[Turn], answer: str) -> str:
        """The turns with the assistant's answer, closed by the template."""
        return self._render([*turns, _says(answer)], add_generation_prompt=False)

    def around(self, turns: Sequence[Turn]) -> Around:
        """What the template writes before an answer to these turns, and behind it."""
        text = self.closed(turns, SENTINEL)
        place = text.rfind(SENTINEL)
        if place < 0:
            what = "alters" if SENTINEL in text.casefold() else "leaves out"
            raise TraitscopeError(
                f"the tokenizer's chat template {what} what the assistant says, so nothing can be trained or scored",
                where=self._where,
                fix="write a plain prompt and remove chat, or mend the template",
            )
        return Around(text[:place], text[place + len(SENTINEL) :])

    def opening(self) -> tuple[int, ...]:
        """Tokens that a closed turn has between the prompt of a generation and the answer."""
        turns = self._turns()
        asked, lead = self.ids(self.opened(turns)), self.ids(self.around(turns).lead)
        return tuple(lead[len(asked) :]) if lead[: len(asked)] == asked else ()

    def trained(self, turns: Sequence[Turn], answer: str) -> tuple[list[int], list[int]]:
        """The tokens of the closed turn up to its end: those that generation is prompted with, and the rest.

        Where the closed turn does not begin with the generation prompt, their longest common prefix is the prompt.
        """
        ids = self._whole(self.closed(turns, answer), self.around(turns).tail)
        n = _common([self.ids(self.opened(turns)), ids])
        return ids[: max(n, 1)], ids[max(n, 1) :]

    def scored(self, turns: Sequence[Turn], answers: Sequence[str]) -> tuple[str, list[str], list[list[int]]]:
        """For options: the text before them, each as the template writes it, and each closed turn's tokens."""
        lead, tail = self.around(turns)
        closed = [self.closed(turns, answer) for answer in answers]
        if not all(text.startswith(lead) for text in closed):
            lead = closed[0][: _common([self.opened(turns), *closed])]
        written = [text[len(lead) : self._answer_stop(text, tail)] for text in closed]
        return lead, written, [self._whole(text, tail) for text in closed]

    def writes_first_token(self) -> bool:
        """Whether the template itself writes what the tokenizer puts in front of a plain text."""
        plain, bare = (list(self._tokenizer.encode(SENTINEL, add_special_tokens=add)) for add in (True, False))
        return plain[0] == bare[0] or self.ids(self.opened(self._turns()))[0] == plain[0]

    def _answer_stop(self, closed: str, tail: str) -> int:
        if closed.endswith(tail):
            return len(closed) - len(tail)
        place = closed.rfind(self.end.shown) if self.end.closed else -1
        return len(closed) if place < 0 else place

    def _whole(self, closed: str, tail: str) -> list[int]:
        """The tokens of a closed turn, its end the last of them."""
        stop = self._answer_stop(closed, tail)
        if not self.end.closed:
            return [*self.ids(closed[:stop]), *self.end.ids]
        text = closed[: closed.index(self.end.shown, stop) + len(self.end.shown)]
        ids, theirs = self.ids(text), self.ids(closed)
        # An end of plain tokens may grow together with what follows it; then the template's own tokens stand.
        return ids if theirs[: len(ids)] == ids else theirs

    def _turns(self) -> list[Turn]:
        """Turns such as the task's, with nothing said in them."""
        roles = [message.role for message in self._task.config.messages or ()] or ["user"]
        return [{"role": role, "content": "a"} for role in roles]

    def _find_end(self) -> AnswerEnd:
        lead, tail = self.around(self._turns())
        rest = tail.lstrip()
        if not rest:
            return sequence_end(self._tokenizer)
        whole = {**{token: i for i, token in self._special()}, **self._tokenizer.get_added_vocab()}
        first = self.ids(rest)[0]
        for token in sorted(whole, key=len, reverse=True):
            if whole[token] == first and rest.startswith(token):
                return AnswerEnd((first,), None, token, True)
        line = rest.split("\n")[0].rstrip()
        ends = [place for token in whole if token and (place := line.find(token)) > 0]
        line = line[: min(ends, default=len(line))].rstrip()
        before = self.ids(lead + SENTINEL + tail[: len(tail) - len(rest)])
        ids = self.ids(lead + SENTINEL + tail[: len(tail) - len(rest)] + line)[len(before) :]
        return AnswerEnd(tuple(ids), line, line, True)

    def _special(self) -> list[tuple[int, str]]:
        return list(zip(self._tokenizer.all_special_ids, self._tokenizer.all_special_tokens, strict=True))

    def _render(self, turns: list[Turn], *, add_generation_prompt: bool) -> str:
        how = {**self._options, "add_generation_prompt": add_generation_prompt}
        return _rendered(self._tokenizer, turns, self._where, how)


def _place(task: Task) -> str:
    """Where a task says that it is a chat."""
    if task.config.lm_eval is not None:
        return task.where("lm_eval", "apply_chat_template")
    return task.where("messages" if task.config.messages else "chat")


def _template_options(task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    if not tokenizer.chat_template:
        raise TraitscopeError(
            "the task uses chat, and the base's tokenizer has no chat template",
            where=_place(task),
            fix="write a plain prompt and remove chat, or take a base with a chat template",
        )
    options = task.config.chat_variables
    template = tokenizer.get_chat_template(tools=options.get("tools"))
    if task.date is not None and CLOCK in template:
        options["chat_template"] = dated(template, task.date)
    return options


def _rendered(tokenizer: PreTrainedTokenizerBase, turns: list[Turn], where: str, how: dict[str, Any]) -> str:
    try:
        with within():
            text: Any = tokenizer.apply_chat_template(turns, tokenize=False, **how)
    except TookTooLong:
        raise TraitscopeError(
            f"the tokenizer's chat template takes more than {SECONDS:g} seconds",
            where=where,
            fix="write a plain prompt and remove chat, or mend the template",
        ) from None
    except Exception as error:
        raise TraitscopeError(
            f"the tokenizer's chat template refuses these turns: {error}",
            where=where,
            fix="many templates want no system turn, or user and assistant in turn",
        ) from None
    return str(text)


def rendered_turns(task: Task, tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], *, continues: bool) -> str:
    """Turns in the tokenizer's chat template, open for the assistant: a new turn of it, or its last one goes on.

    Raises:
        TraitscopeError: the tokenizer has no template, or the template refuses the turns.
    """
    how = {"add_generation_prompt": not continues, "continue_final_message": continues}
    return _rendered(tokenizer, [*turns], _place(task), {**_template_options(task, tokenizer), **how})


def _common(parts: Sequence[Sequence[Any]]) -> int:
    """How long the start is that all of them share."""
    places = zip(*parts, strict=False)
    return next((i for i, items in enumerate(places) if len(set(items)) > 1), min(map(len, parts)))


def _says(answer: str) -> Turn:
    return {"role": "assistant", "content": answer}


def check_variables(task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    """Sees that the template looks at everything that the study hands to it.

    Raises:
        TraitscopeError: a variable of ``chat`` does not occur in the template, so it would do nothing.
    """
    variables = task.config.chat_variables
    if not variables or not tokenizer.chat_template:
        return
    template = tokenizer.get_chat_template(tools=variables.get("tools"))
    words = set(re.findall(r"[A-Za-z_]\w*", template))
    for name in variables:
        if name not in words:
            near = near_names(name, sorted(words))
            raise TraitscopeError(
                f"the base's chat template has no variable {name!r}, so it would do nothing",
                where=task.where("chat", name),
                fix=f"did you mean {near[0]!r}?" if near else "remove it; the template's own text names its variables",
            )


@lru_cache(maxsize=8)
def dated(template: str, day: date) -> str:
    """The template with its clock stopped at the start of ``day``.

    transformers gives a template one clock, the function ``strftime_now``, and lets no argument stand in its place: a
    macro of that name, put in front, does. It ends in a newline that the template's environment drops.
    """
    moment = datetime.combine(day, time())
    chain = f"format | replace('%%', {_PERCENT})"
    for name in _DIRECTIVES:
        for directive in (f"%-{name}", f"%{name}"):
            chain += f" | replace({json.dumps(directive)}, {json.dumps(moment.strftime(directive))})"
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ {chain} | replace({_PERCENT}, '%') }}}}{{%- endmacro %}}\n{template}"
