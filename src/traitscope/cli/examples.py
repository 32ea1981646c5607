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
    from traitscope.tasks.encode import encode_pair, prompt_text

    prompt = prompt_text(task, example, tokenizer)
    context, answer = encode_pair(tokenizer, prompt, example.answer)
    shown = prompt if len(prompt) <= LONGEST else f"{prompt[: LONGEST // 2]} [...] {prompt[-LONGEST // 2 :]}"
    lines = [textwrap.indent(shown, "    | ", lambda line: True)] if prompt else []
    if example.options is not None:
        lines.append(f"    options: {', '.join(repr(option) for option in example.options)}")
    lines.append(f"    answer:  {example.answer!r} ({len(context)} + {len(answer)} tokens)")
    return "\n".join(lines)
