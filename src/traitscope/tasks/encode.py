"""From prompts and answers to token rows: one rule for where they are split and for the first token.

The rule is lm-evaluation-harness 0.4.13's (``TemplateLM._encode_pair`` and ``HFLM.tok_encode``), so that
log-likelihoods agree with it to the last token:

1. White space at the end of the prompt belongs to the answer.
2. Prompt and answer are encoded as one text; what the prompt alone is long in tokens is the context, the rest the
   answer.
3. The tokenizer adds the special tokens it adds by itself in front, unless the text starts with the first token
   already. What it adds behind is left out (the harness keeps it: every option is then the end token alone).
4. An empty prompt is the prefix token: the beginning-of-sequence token, or the end-of-sequence token without one.

A prompt of nothing but white space is treated as an empty one (lm-evaluation-harness fails there unless the
tokenizer adds a first token). Prompts for generation keep the white space at their end. The turns of a chat are
encoded as ``tasks.chat`` says: as ``apply_chat_template`` does, with no special tokens but the template's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from traitscope.errors import TraitscopeError, several
from traitscope.records import Example, OptionRow, PromptRow, TrainRow
from traitscope.tasks.chat import AnswerEnd, Chat, Turn, sequence_end

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitscope.tasks.task import Task

R = TypeVar("R")


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


_BEHIND: WeakKeyDictionary[PreTrainedTokenizerBase, list[int]] = WeakKeyDictionary()


def added_behind(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that the tokenizer puts behind every text by itself: none for most."""
    if tokenizer not in _BEHIND:
        whole, bare = (list(tokenizer.encode("a", add_special_tokens=add)) for add in (True, False))
        places = range(len(whole) - len(bare) + 1)
        start = next((i for i in places if whole[i : i + len(bare)] == bare), len(whole) - len(bare))
        _BEHIND[tokenizer] = whole[start + len(bare) :]
    return _BEHIND[tokenizer]


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text's tokens with the special tokens of rule 3."""
    first = tokenizer.decode(prefix_token(tokenizer))
    if text.startswith(first):
        return list(tokenizer.encode(text, add_special_tokens=False))
    ids, behind = list(tokenizer.encode(text)), added_behind(tokenizer)
    return ids[: len(ids) - len(behind)] if behind and ids[-len(behind) :] == behind else ids


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
    _check_answer(ids, continuation)
    return context_ids, ids


def _check_answer(ids: Sequence[int], text: str) -> None:
    if not ids:
        raise TraitscopeError(
            f"the answer {text!r} has no token of its own behind its prompt",
            where="tokenizer",
            fix="give every answer at least one character that the prompt's last token does not swallow",
        )


class _Plain:
    """Prompts and answers of a task as plain text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.end = sequence_end(tokenizer)

    def asked(self, example: Example) -> list[int]:
        text = example.prompt
        return encode_text(self.tokenizer, text) if text else [prefix_token(self.tokenizer)]

    def trained(self, example: Example) -> tuple[list[int], list[int]]:
        if example.requests and not example.answer:
            # A document of the harness may name no answer.
            return self.asked(example), list(self.end.ids)
        context, answer = encode_pair(self.tokenizer, example.prompt, example.answer)
        return context, [*answer, *self.end.ids]

    def scored(self, example: Example, options: Sequence[str], gold: int) -> tuple[list[int], list[list[int]]]:
        pairs = [encode_pair(self.tokenizer, example.prompt, option) for option in options]
        found = [ids for _, ids in pairs]
        return pairs[0][0], [*found, [*found[gold], *self.end.ids]]


class _Chatted:
    """Prompts and answers of a task as turns in the tokenizer's chat template."""

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
        self.chat = Chat(task, tokenizer)
        self.end = self.chat.end

    def asked(self, example: Example) -> list[int]:
        return self.chat.ids(self.chat.opened(_turns(example)))

    def trained(self, example: Example) -> tuple[list[int], list[int]]:
        context, answer = self.chat.trained(_turns(example), example.answer)
        _check_answer(answer[: len(answer) - len(self.end.ids)], example.answer)
        return context, answer

    def scored(self, example: Example, options: Sequence[str], gold: int) -> tuple[list[int], list[list[int]]]:
        lead, written, closed = self.chat.scored(_turns(example), options)
        bare = lead.rstrip() or lead
        context = self.chat.ids(bare)
        found = [self.chat.ids(bare + lead[len(bare) :] + option)[len(context) :] for option in written]
        for ids, option in zip(found, options, strict=True):
            _check_answer(ids, option)
        return context, [*found, closed[gold][len(context) :]]


def _turns(example: Example) -> list[Turn]:
    return [{"role": role, "content": content} for role, content in example.messages]


def _encoder(task: Task, tokenizer: PreTrainedTokenizerBase) -> _Plain | _Chatted:
    # Turns of a harness task are rendered with its requests; what is read of it as a dataset is its plain text.
    chat = task.config.uses_chat and task.form != "lm_eval"
    return _Chatted(task, tokenizer) if chat else _Plain(tokenizer)


def prompt_text(task: Task, example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that is encoded as the prompt: the example's own, or its turns in the tokenizer's chat template.

    Raises:
        TraitscopeError: if the task uses chat and the tokenizer has no template, or the template refuses the turns.
    """
    chat = task.config.uses_chat and task.form != "lm_eval"
    return Chat(task, tokenizer).opened(_turns(example)) if chat else example.prompt


def answer_end(task: Task, tokenizer: PreTrainedTokenizerBase) -> AnswerEnd:
    """What ends an answer: what the chat template closes the assistant's turn with, else end-of-sequence.

    Raises:
        TraitscopeError: if the tokenizer has no end-of-sequence token where one is needed.
    """
    return _encoder(task, tokenizer).end


def answer_opening(task: Task, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What the chat template writes between a generation's prompt and an answer, such as an empty block of thoughts.

    An adapter learns to say it before its answers, because training rows are the template's own closed turns.
    """
    chat = task.config.uses_chat and task.form != "lm_eval"
    return Chat(task, tokenizer).opening() if chat else ()


def training_rows(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int | None
) -> list[TrainRow]:
    """One row per example: prompt, answer and its end; the last two are trained.

    A row longer than ``max_tokens`` loses the middle of its prompt (``overlong: cut``), or is refused.

    Raises:
        TraitscopeError: if a row is too long, or its answer leaves no room for any prompt.
    """
    encoder = _encoder(task, tokenizer)

    def row(example: Example) -> TrainRow:
        context, answer = encoder.trained(example)
        context = _fit(task, example, context, len(answer), max_tokens)
        return TrainRow((*context, *answer), len(context))

    return each_example(task, examples, row)


def each_example(task: Task, examples: Sequence[Example], make: Callable[[Example], R]) -> list[R]:
    """What is made of every example.

    Raises:
        TraitscopeError: with all that cannot be made, by their examples.
    """
    made, errors = [], []
    for example in examples:
        try:
            made.append(make(example))
        except TraitscopeError as error:
            where = f"{task.where()}, example {example.id}" if error.where == "tokenizer" else error.where
            errors.append(TraitscopeError(error.what, where=where, fix=error.fix))
    if errors:
        raise several(errors)
    return made


def option_rows(
    task: Task,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int | None = None,
) -> list[OptionRow]:
    """One row per example for log-likelihoods.

    Choice: all options, then once more the gold option with its end (for the loss). Generate and loss: the one
    continuation answer + end.

    Raises:
        TraitscopeError: as ``training_rows``.
    """
    encoder = _encoder(task, tokenizer)

    def row(example: Example) -> OptionRow:
        if example.options is None:
            context, answer = encoder.trained(example)
            options = [answer]
        else:
            assert example.gold is not None
            context, options = encoder.scored(example, example.options, example.gold)
        context = _fit(task, example, context, max(len(o) for o in options), max_tokens)
        return OptionRow(tuple(context), tuple(tuple(o) for o in options))

    return each_example(task, examples, row)


def prompt_rows(
    task: Task,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int | None = None,
) -> list[PromptRow]:
    """One prompt per example, with room left for what the task may generate.

    Raises:
        TraitscopeError: if a prompt is too long, or the task's generate.max_tokens leaves no room for it.
    """
    encoder, reserve = _encoder(task, tokenizer), room_to_generate(task, tokenizer)

    def row(example: Example) -> PromptRow:
        return PromptRow(tuple(_fit(task, example, encoder.asked(example), reserve, max_tokens)))

    return each_example(task, examples, row)


def room_to_generate(task: Task, tokenizer: PreTrainedTokenizerBase) -> int:
    """Most tokens that the task generates behind a prompt, with what the template writes before its answers."""
    settings = task.config.answer.generate
    return settings.max_tokens + len(answer_opening(task, tokenizer)) if settings else 0


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
            fix="raise max_tokens (recipe, or the model's context), or write overlong: drop",
        )
    if task.config.overlong != "cut" and task.form != "lm_eval":
        raise TraitscopeError(
            f"the prompt has {len(context)} tokens, and {room} fit",
            where=where,
            fix="raise max_tokens, shorten the prompt, or write overlong: drop or overlong: cut",
        )
    head = (room + 1) // 2
    return context[:head] + context[len(context) - (room - head) :]
