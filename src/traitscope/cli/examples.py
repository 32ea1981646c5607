"""An example as text: its prompt as the model reads it, and its answer."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.records import Example
    from traitscope.tasks.task import Task

LONGEST = 1200


def example_text(task: Task, example: Example, tokenizer: Any) -> str:
    """The rendered prompt (through the chat template where the task uses it), the options and the gold answer."""
    from traitscope.tasks.encode import answer_end, prompt_text, training_rows

    if task.form == "lm_eval":
        return _harness_text(task, example, tokenizer)
    prompt, end = prompt_text(task, example, tokenizer), answer_end(task, tokenizer)
    (row,) = training_rows(task, [example], tokenizer, None)
    n_answer = len(row.ids) - row.n_prompt - len(end.ids)
    lines = _opening(prompt, example)
    lines.append(f"    answer:  {example.answer!r} ({row.n_prompt} + {count_of(n_answer, 'token')})")
    if task.config.uses_chat:
        trained = tokenizer.decode(row.ids[row.n_prompt :])
        lines.append(f"    trained: {trained!r}")
        kind = "a token" if end.text is None else f"{len(end.ids)} plain tokens: generation stops at this text"
        said = f"{kind}, as the template closes a turn" if end.closed else f"{kind}: the template closes no turn"
        lines.append(f"    end:     {end.shown!r} ({said})")
    return "\n".join(lines)


def _opening(prompt: str, example: Example) -> list[str]:
    shown = prompt if len(prompt) <= LONGEST else f"{prompt[: LONGEST // 2]} [...] {prompt[-LONGEST // 2 :]}"
    lines = [textwrap.indent(shown, "    | ", lambda line: True)] if prompt else []
    if example.options is not None:
        lines.append(f"    options: {', '.join(repr(option) for option in example.options)}")
    return lines


def _harness_text(task: Task, example: Example, tokenizer: Any) -> str:
    """A document of lm-evaluation-harness: its first prompt, what is asked about it, the right answer."""
    from traitscope.tasks.encode_requests import prompt_shown, request_rows

    (document,) = request_rows(task, [example], tokenizer, None)
    asked = ", ".join(f"{n} {kind}" for kind, n in Counter(request.kind for request in document.requests).items())
    answer = repr(example.answer) if example.answer else "none that the task names"
    lines = _opening(prompt_shown(task, example, tokenizer), example)
    tokens = sum(request.n_tokens for request in document.requests)
    return "\n".join([*lines, f"    answer:  {answer}", f"    asks:    {asked} ({count_of(tokens, 'token')})"])
