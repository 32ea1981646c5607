"""From what the harness asks to token rows, by the rules of its own HFLM (lm-eval 0.4.13), to the last token.

- A prompt and its continuation are split as ``tasks.encode`` says (``TemplateLM._encode_pair``). What is too long loses
  the beginning of its prompt; a continuation's last token needs no position.
- A rolling text is cut into windows of all positions that overlap in one token (``get_rolling_token_windows``); the
  first one stands behind the prefix token.
- A prompt for generation keeps the white space at its end, and loses its beginning where the cut-off leaves no room.
- Turns of a chat are rendered by the tokenizer's template, without the system's turn where it refuses that, and then
  encoded as any text is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks.chat import rendered_turns
from traitscope.tasks.encode import each_example, encode_pair, encode_text, prefix_token
from traitscope.tasks.harness.requests import Asked, Prompt, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitscope.tasks.task import Task

# What HFLM takes for the positions of a model whose configuration and tokenizer say none.
DEFAULT_POSITIONS = 2048
# A tokenizer that knows no limit has a number above this.
_NO_LIMIT = 1 << 29

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """One request as tokens.

    Attributes:
        kind: as the harness calls it.
        pairs: (context, continuation) to be scored; of a rolling text its windows.
        prompt: what is continued. until, max_tokens: how.
    """

    kind: str
    pairs: tuple[tuple[Ids, Ids], ...] = ()
    prompt: Ids = ()
    until: tuple[str, ...] = ()
    max_tokens: int = 0

    @property
    def n_tokens(self) -> int:
        """Tokens that a model reads for it."""
        return len(self.prompt) + sum(len(context) + len(said) for context, said in self.pairs)


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """All requests about one document, and its right answer behind its prompt where a generated one has one."""

    example: Example
    requests: tuple[EncodedRequest, ...]
    reference: tuple[Ids, Ids] | None

    @property
    def context(self) -> Ids:
        """The first prompt's tokens."""
        first = self.requests[0]
        return first.pairs[0][0] if first.pairs else first.prompt


def harness_positions(tokenizer: PreTrainedTokenizerBase, positions: int | None) -> int:
    """The positions that the harness counts with (``resolve_max_length``)."""
    if positions is not None and positions < _NO_LIMIT:
        return positions
    known = getattr(tokenizer, "model_max_length", None)
    return int(known) if known is not None and known < _NO_LIMIT else DEFAULT_POSITIONS


def request_rows(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, positions: int | None
) -> list[EncodedDocument]:
    """The requests of every example as tokens.

    Raises:
        TraitscopeError: an answer has no token, or does not fit the model's positions.
    """
    most = harness_positions(tokenizer, positions)
    return each_example(task, examples, lambda example: _document(task, example, tokenizer, most))


def prompt_shown(task: Task, example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text in front of an example's first request, as the model reads it."""
    return _text(task, Asked.from_json(example.requests).requests[0].prompt, tokenizer)


def _document(task: Task, example: Example, tokenizer: PreTrainedTokenizerBase, most: int) -> EncodedDocument:
    asked = Asked.from_json(example.requests)
    encoded = tuple(
        encode_request(request, tokenizer, most, _text(task, request.prompt, tokenizer)) for request in asked.requests
    )
    reference = None
    if asked.reference is not None:
        context, said = encode_pair(tokenizer, _text(task, asked.requests[0].prompt, tokenizer), asked.reference)
        # Only its loss is told of it: one that fits no model has none.
        reference = _cut(context, said, most) if len(said) <= most else None
    return EncodedDocument(example, encoded, reference)


def encode_request(
    request: Request, tokenizer: PreTrainedTokenizerBase, most: int, text: str | None = None
) -> EncodedRequest:
    """One request as tokens for a model of ``most`` positions; ``text`` is its prompt as the model reads it.

    Raises:
        TraitscopeError: its answer has no token, or does not fit.
    """
    prompt = request.prompt.text if text is None else text
    match request.kind:
        case "loglikelihood":
            pair = _cut(*encode_pair(tokenizer, prompt, request.text), most)
            return EncodedRequest(request.kind, (pair,))
        case "loglikelihood_rolling":
            ids = encode_text(tokenizer, request.text)
            return EncodedRequest(request.kind, windows(ids, prefix_token(tokenizer), most))
        case _:
            room = most - request.max_tokens
            if room < 1:
                raise TraitscopeError(
                    f"answers of {request.max_tokens} tokens leave no room for a prompt in {most} positions",
                    where="tokenizer",
                    fix=f"write gen_kwargs: {{max_gen_toks: {max(1, most // 2)}}} or less under lm_eval",
                )
            ids = encode_text(tokenizer, prompt) if prompt else [prefix_token(tokenizer)]
            return EncodedRequest(request.kind, (), tuple(ids[-room:]), request.until, request.max_tokens)


def _cut(context: Sequence[int], said: Sequence[int], most: int) -> tuple[Ids, Ids]:
    """A pair without the beginning of its context where both together are longer than the positions and one token."""
    if len(said) > most:
        raise TraitscopeError(
            f"an answer of {len(said)} tokens does not fit {most} positions",
            where="tokenizer",
            fix="take a base with more positions, or limit: below its document",
        )
    return tuple(context[-(most + 1 - len(said)) :]), tuple(said)


def windows(ids: Sequence[int], first: int, most: int) -> tuple[tuple[Ids, Ids], ...]:
    """A long text as (context, continuation) pairs: ``most`` tokens each, behind the one token before them.

    The last window is filled from the left: its context is longer (``get_rolling_token_windows`` with a context of one
    token, and ``make_disjoint_window``).
    """
    found: list[tuple[Ids, Ids]] = []
    for start in range(0, len(ids), most):
        said = tuple(ids[start : start + most])
        stop = start + len(said)
        context = (first,) if start == 0 else tuple(ids[stop - most - 1 : start])
        found.append((context, said))
    return tuple(found)


def _text(task: Task, prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> str:
    if not prompt.turns:
        return prompt.text
    turns = [{"role": role, "content": said} for role, said in prompt.turns]
    render = partial(rendered_turns, task, tokenizer, continues=not prompt.opened)
    try:
        return render(turns)
    except TraitscopeError:
        # As HFLM does: many templates know no system.
        if all(turn["role"] != "system" for turn in turns):
            raise
        return render([turn for turn in turns if turn["role"] != "system"])
