"""Token counts of what is missing: rendered rows through the base's tokenizer, its weights untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitscope.store.reading import load_tokenizer
from traitscope.study.data import StudyData
from traitscope.study.planning import Cost, estimate, processor_rate
from traitscope.study.state import State, Units
from traitscope.tasks.lengths import token_counts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def study_cost(units: Units, state: State, data: StudyData) -> Cost:
    """The cost of what is missing, from exact token counts of the rows and a measured processor rate."""
    tokenizer = load_tokenizer(units.base.source())
    counts: dict[tuple[str, str | None, int], Any] = {}

    def tokens(task: str, control: str | None, n: int, max_tokens: int, examples: Any) -> int:
        key = (task, control, max_tokens)
        if key not in counts:
            counts[key] = token_counts(data.tasks[task], examples, tokenizer, max_tokens)
        found = counts[key]
        return round((found.prompt + found.answer) * n / max(1, found.examples))

    train_tokens = {}
    for unit in state.missing_adapters:
        parts = data.mix(unit.mix) if unit.mix else [(unit.parts[0], data.train(unit.parts[0]))]
        total = sum(
            tokens(source.task, source.control, len(rows), unit.recipe.max_tokens, rows) for source, rows in parts
        )
        n = sum(len(rows) for _, rows in parts)
        steps = -(-n // unit.recipe.batch) * unit.recipe.epochs
        share = min(1.0, unit.recipe.max_steps / steps) if unit.recipe.max_steps else 1.0
        train_tokens[unit.name] = round(total * unit.recipe.epochs * share)
    eval_tokens = {task: _eval_tokens(data, task, tokenizer) for task in {c.task for c in state.missing_cells}}
    return estimate(units, state, train_tokens, eval_tokens, processor_rate())


def _eval_tokens(data: StudyData, task: str, tokenizer: PreTrainedTokenizerBase) -> int:
    examples = data.load(task).eval
    counts = token_counts(data.tasks[task], examples, tokenizer, 1 << 30)
    options = sum(len(example.options or ()) for example in examples) / max(1, len(examples))
    generate = data.config.tasks[task].answer.generate
    made = generate.max_tokens * len(examples) + counts.prompt if generate else 0
    return round(counts.prompt + counts.answer * max(1.0, options) + made)
