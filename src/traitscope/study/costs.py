"""Token counts of what is missing: rendered rows through the base's tokenizer, its weights untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from traitscope.store.reading import load_tokenizer
from traitscope.store.shapes import model_shape
from traitscope.study.data import StudyData
from traitscope.study.planning import EFFICIENCY, Cost, LayersCost, estimate, processor_rate
from traitscope.study.state import State, Units
from traitscope.tasks.encode_requests import request_rows
from traitscope.tasks.lengths import token_counts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def study_cost(units: Units, state: State, data: StudyData) -> Cost:
    """The cost of what is missing, from exact token counts of the rows and a measured processor rate."""
    return estimate(units, state, *token_costs(units, state, data), processor_rate())


def token_costs(units: Units, state: State, data: StudyData) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens of what is missing: of every adapter's training, and of one model's evaluation on every task."""
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
    return train_tokens, eval_tokens


def layers_cost(units: Units, data: StudyData) -> LayersCost | None:
    """The cost of the layer analysis; None where the study has none."""
    from traitscope.layers import sliding_windows

    config = data.config
    if config.layers is None or not config.mixes:
        return None
    source = units.base.source()
    tokenizer, shape = load_tokenizer(source), model_shape(source.resolved(), source.revision)
    seeds: dict[str, int] = {}
    for entry in config.resolved_sources():
        if entry.control is None:
            seeds.setdefault(entry.task, len(entry.recipe.seeds))
    windows = sliding_windows(shape.layers) if shape and config.layers.causal else []
    share = _share_run(windows, shape.layers) if shape and windows else 0.0
    tasks = config.target_names()
    n = min(config.layers.examples, *(data.n_eval(task) for task in tasks))
    states = gated = 0.0
    for task in tasks:
        examples = data.load(task).eval
        prompts = token_counts(data.tasks[task], examples, tokenizer, 1 << 30).prompt
        # Base and mix, the task's own adapter, its second seed.
        states += prompts * n / max(1, len(examples)) * (2 + min(2, seeds.get(task, 0)))
        if task in seeds and windows:
            # Generated answers are decoded through all layers.
            run = share if config.tasks[task].answer.generate is None else 1.0
            part = min(1.0, config.layers.causal / max(1, len(examples)))
            gated += _eval_tokens(data, task, tokenizer) * part * 2 * len(windows) * run
    seconds = None
    if shape is not None:
        seconds = 2 * shape.parameters * (states + gated) / (processor_rate() * EFFICIENCY)
    return LayersCost(round(states), len(windows), round(gated), seconds)


def _share_run(windows: Sequence[tuple[int, int]], n_layers: int) -> float:
    """Share of the layers that gated models run: each starts where the window before its own begins."""
    return 1 - sum(first - 1 for first, _ in windows[:-1]) / (n_layers * len(windows))


def _eval_tokens(data: StudyData, task: str, tokenizer: PreTrainedTokenizerBase) -> int:
    examples = data.load(task).eval
    if data.tasks[task].form == "lm_eval":
        documents = request_rows(data.tasks[task], examples, tokenizer, data.readers[0].positions)
        return sum(one.n_tokens + one.max_tokens for document in documents for one in document.requests)
    counts = token_counts(data.tasks[task], examples, tokenizer, 1 << 30)
    options = sum(len(example.options or ()) for example in examples) / max(1, len(examples))
    generate = data.config.tasks[task].answer.generate
    made = generate.max_tokens * generate.samples * len(examples) + counts.prompt if generate else 0
    return round(counts.prompt + counts.answer * max(1.0, options) + made)
