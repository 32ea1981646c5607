"""An example as text: its prompt as the model reads it, and its answer."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traitscope.records import Example
    from traitscope.tasks.task import Task

LONGEST = 1200


def example_text(task: Task, example: Example, tokenizer: Any) -> str:
    """The rendered prompt (through the chat template where the task uses it), the options and the gold answer."""
    from traitscope.tasks.encode import answer_end, prompt_text, training_rows

    prompt, end = prompt_text(task, example, tokenizer), answer_end(task, tokenizer)
    (row,) = training_rows(task, [example], tokenizer, None)
    n_answer = len(row.ids) - row.n_prompt - len(end.ids)
    shown = prompt if len(prompt) <= LONGEST else f"{prompt[: LONGEST // 2]} [...] {prompt[-LONGEST // 2 :]}"
    lines = [textwrap.indent(shown, "    | ", lambda line: True)] if prompt else []
    if example.options is not None:
        lines.append(f"    options: {', '.join(repr(option) for option in example.options)}")
    lines.append(f"    answer:  {example.answer!r} ({row.n_prompt} + {n_answer} tokens)")
    if task.config.uses_chat:
        trained = tokenizer.decode(row.ids[row.n_prompt :])
        lines.append(f"    trained: {trained!r}")
        kind = "a token" if end.text is None else f"{len(end.ids)} plain tokens: generation stops at this text"
        said = f"{kind}, as the template closes a turn" if end.closed else f"{kind}: the template closes no turn"
        lines.append(f"    end:     {end.shown!r} ({said})")
    return "\n".join(lines)
