"""From prompts and answers to token rows: one rule for where they are split and for the first token.

The rule is lm-evaluation-harness 0.4.13's (``TemplateLM._encode_pair`` and ``HFLM.tok_encode``), so that
log-likelihoods agree with it to the last token:

1. White space at the end of the prompt belongs to the answer.
2. Prompt and answer are encoded as one text; what the prompt alone is long in tokens is the context, the rest the
   answer.
3. The tokenizer adds the special tokens it adds by itself, unless the text starts with the first token already
   (which is how a chat template's prompt gets no second one).
4. An empty prompt is the prefix token: the beginning-of-sequence token, or the end-of-sequence token without one.

A prompt of nothing but white space is treated as an empty one (lm-evaluation-harness fails there unless the
tokenizer adds a first token). Prompts for generation keep the white space at their end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example, OptionRow, PromptRow, TrainRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitscope.tasks.task import Task


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of a list of examples. ``cut`` prompts were longer than the limit and lose their middle."""

    examples: int
    prompt: int
    answer: int
    longest: int
    cut: int


def prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that stands for an empty prompt.

    Raises:
        TraitscopeError: if the tokenizer has neither a beginning nor an end token.
    """
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise TraitscopeError(
            "the tokenizer has neither a beginning-of-sequence nor an end-of-sequence token",
            where="tokenizer",
            fix="set bos_token or eos_token in its tokenizer_config.json",
        )
    return int(token)


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text's tokens with the special tokens of rule 3."""
    first = tokenizer.decode(prefix_token(tokenizer))
    if text.startswith(first):
        return list(tokenizer.encode(text, add_special_tokens=False))
    return list(tokenizer.encode(text))


def encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """The tokens of a prompt and of its continuation (see the module's rules).

    Raises:
        TraitscopeError: if the continuation has no token of its own.
    """
    bare = context.rstrip()
    if not bare:
        first = prefix_token(tokenizer)
        ids = list(tokenizer.encode(context + continuation, add_special_tokens=False))
        if ids and ids[0] == first:
            ids = ids[1:]
        context_ids = [first]
    else:
        continuation = context[len(bare) :] + continuation
        context_ids = encode_text(tokenizer, bare)
        ids = encode_text(tokenizer, bare + continuation)[len(context_ids) :]
    if not ids:
        raise TraitscopeError(
            f"the answer {continuation!r} has no token of its own behind its prompt",
            where="tokenizer",
            fix="give every answer at least one character that the prompt's last token does not swallow",
        )
    return context_ids, ids


def prompt_text(task: Task, example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that is encoded as the prompt: the example's own, or its turns in the tokenizer's chat template.

    Raises:
        TraitscopeError: if the task uses chat and the tokenizer has no template, or the template refuses the turns.
    """
    if not task.config.uses_chat:
        return example.prompt
    turns = [{"role": role, "content": content} for role, content in example.messages]
    return _chat(task, tokenizer, turns, add_generation_prompt=True)


def stop_token(task: Task, tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an answer: the end of the assistant's turn in a chat template, else end-of-sequence.

    Raises:
        TraitscopeError: if the tokenizer has no end-of-sequence token.
    """
    if task.config.uses_chat:
        user = {"role": "user", "content": "a"}
        opened = _chat(task, tokenizer, [user], add_generation_prompt=True)
        closed = _chat(task, tokenizer, [user, {"role": "assistant", "content": "b"}], add_generation_prompt=False)
        if closed.startswith(opened + "b"):
            after = tokenizer.encode(closed[len(opened) + 1 :].lstrip(), add_special_tokens=False)
            if after and after[0] in tokenizer.all_special_ids:
                return int(after[0])
    if tokenizer.eos_token_id is None:
        raise TraitscopeError(
            "the tokenizer has no end-of-sequence token, so no answer could ever end",
            where="tokenizer",
            fix="set eos_token in its tokenizer_config.json",
        )
    return int(tokenizer.eos_token_id)


def training_rows(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> list[TrainRow]:
    """One row per example: prompt, answer and stop token; the last two are trained.

    A row longer than ``max_tokens`` loses the middle of its prompt, or is refused (task setting ``overlong``).

    Raises:
        TraitscopeError: if an answer with its stop token leaves no room for any prompt, or a prompt is refused.
    """
    stop = stop_token(task, tokenizer)
    rows = []
    for example in examples:
        context, answer = encode_pair(tokenizer, prompt_text(task, example, tokenizer), example.answer)
        answer = [*answer, stop]
        context = _fit(task, example, context, len(answer), max_tokens)
        rows.append(TrainRow((*context, *answer), len(context)))
    return rows


def option_rows(
    task: Task,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int | None = None,
) -> list[OptionRow]:
    """One row per example for log-likelihoods.

    Choice: all options, then once more the gold option with the stop token (for the loss). Generate and loss:
    the one continuation answer + stop token.

    Raises:
        TraitscopeError: as ``training_rows``.
    """
    stop = stop_token(task, tokenizer)
    rows = []
    for example in examples:
        text = prompt_text(task, example, tokenizer)
        if example.options is None:
            context, answer = encode_pair(tokenizer, text, example.answer)
            options = [[*answer, stop]]
        else:
            assert example.gold is not None
            pairs = [encode_pair(tokenizer, text, option) for option in example.options]
            context = pairs[0][0]
            options = [ids for _, ids in pairs]
            options.append([*options[example.gold], stop])
        context = _fit(task, example, context, max(len(o) for o in options), max_tokens)
        rows.append(OptionRow(tuple(context), tuple(tuple(o) for o in options)))
    return rows


def prompt_rows(
    task: Task,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int | None = None,
) -> list[PromptRow]:
    """One prompt per example, with room left for what the task may generate.

    Raises:
        TraitscopeError: if a prompt is refused, or the task's generate.max_tokens leaves no room for it.
    """
    reserve = task.config.answer.generate.max_tokens if task.config.answer.generate else 0
    rows = []
    for example in examples:
        text = prompt_text(task, example, tokenizer)
        context = encode_text(tokenizer, text) if text else [prefix_token(tokenizer)]
        rows.append(PromptRow(tuple(_fit(task, example, context, reserve, max_tokens))))
    return rows


def token_counts(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> TokenCounts:
    """How long the training rows of ``examples`` are (in tokens) and how many prompts are cut."""
    stop_token(task, tokenizer)
    prompt = answer = longest = cut = 0
    for example in examples:
        context, ids = encode_pair(tokenizer, prompt_text(task, example, tokenizer), example.answer)
        length = len(context) + len(ids) + 1
        cut += length > max_tokens
        prompt += min(len(context), max(max_tokens - len(ids) - 1, 1))
        answer += len(ids) + 1
        longest = max(longest, length)
    return TokenCounts(len(examples), prompt, answer, longest, cut)


def _fit(task: Task, example: Example, context: list[int], reserve: int, max_tokens: int | None) -> list[int]:
    """``context`` without its middle where it and ``reserve`` more tokens are longer than ``max_tokens``."""
    if max_tokens is None or len(context) + reserve <= max_tokens:
        return context
    room = max_tokens - reserve
    where = f"{task.where()}, example {example.id}"
    if room < 1:
        raise TraitscopeError(
            f"the answer needs {reserve} tokens and leaves no room for a prompt in {max_tokens}",
            where=where,
            fix="raise max_tokens (recipe, or the model's context), or drop such rows with data.where",
        )
    if task.config.overlong == "refuse":
        raise TraitscopeError(
            f"the prompt has {len(context)} tokens, and {room} fit",
            where=where,
            fix="raise max_tokens, shorten the prompt, or write overlong: cut",
        )
    head = (room + 1) // 2
    return context[:head] + context[len(context) - (room - head) :]


def _chat(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    turns: list[dict[str, str]],
    *,
    add_generation_prompt: bool,
) -> str:
    if not tokenizer.chat_template:
        raise TraitscopeError(
            "the task uses chat, and the base's tokenizer has no chat template",
            where=task.where("messages" if task.config.messages else "chat"),
            fix="write a plain prompt and remove chat, or take a base with a chat template",
        )
    try:
        text: Any = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:
        raise TraitscopeError(
            f"the tokenizer's chat template refuses these turns: {error}",
            where=task.where("messages" if task.config.messages else "chat"),
            fix="many templates want no system turn, or user and assistant in turn",
        ) from None
    return str(text)
