"""Layer by layer: the layer paper's way against ``engine.capture`` and ``traitscope.layers``.

The paper's way: one prompt at a time through each model with ``output_hidden_states``, the last token of every layer
into a file of its own, then one process for the CKA of every task, layer and pair of models. It is timed on a part (one
task's captures, a few processes) and multiplied.

The paper's code reads the states of a prompt from a call of ``generate`` with up to 512 new tokens. One row spares it
that; the other adds the steps that a model needs which answers as the task's gold answers do and then stops.

The second comparison is CKA alone, at the size of a 7B model: 1,000 examples, 4,096 features, 33 layers, three models.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import demo, harness, peers
from benchmarks.harness import Report, Span, environment, faster, measured
from benchmarks.models import Pair, embedded_pair, random_adapters
from benchmarks.paper_cka import feature_cka
from traitscope.engine import Adapter, Bank, LoraSpec, capture
from traitscope.layers import MEASURES
from traitscope.layers.measures import Measure
from traitscope.layers.representation import Representation
from traitscope.records import PromptRow
from traitscope.tasks.encode import encode_text, prompt_rows

SPEC = LoraSpec(8, 16.0)
PAIRS = (("base", "control"), ("mix", "control"))


@dataclass(frozen=True)
class Sizes:
    """``tasks`` x ``examples``; ``peer_tasks``, ``processes`` and ``steps`` (tokens) are timed; then CKA alone."""

    tasks: int = 10
    examples: int = 200
    peer_tasks: int = 1
    processes: int = 6
    steps: int = 16
    rows: int = 1000
    features: int = 4096
    layers: int = 33
    peer_layers: int = 2


SIZES = {
    "default": Sizes(),
    "full": Sizes(peer_tasks=3, processes=26, peer_layers=6),
    "tiny": Sizes(tasks=1, examples=8, processes=2, steps=2, rows=24, features=40, layers=2, peer_layers=2),
}


def task_prompts(pair: Pair, sizes: Sizes) -> tuple[dict[str, list[PromptRow]], int]:
    """Prompts of the demo's tasks, and how many tokens their gold answers have together."""
    with tempfile.TemporaryDirectory() as folder:
        _, tasks = demo.read_study(demo.write_study(Path(folder), n_eval=sizes.examples))
        chosen = list(tasks.values())[: sizes.tasks]
        prompts = {task.name: prompt_rows(task, task.load().eval, pair.tokenizer) for task in chosen}
        answers = [example.answer for task in chosen for example in task.load().eval]
        return prompts, sum(len(encode_text(pair.tokenizer, answer)) for answer in answers)


def models_of(adapters: Mapping[str, Adapter], number: int) -> dict[str, Adapter | None]:
    """The three models of a task: the base, the mix, the task's control."""
    return {"base": None, "mix": adapters["a0"], "control": adapters[f"a{number + 1}"]}


def ours(pair: Pair, prompts: dict[str, list[PromptRow]], adapters: Mapping[str, Adapter]) -> tuple[Span, dict]:
    """States of every task under its three models in one bank, and biased CKA of every pair and layer."""
    measure: Measure = MEASURES.get("cka_biased").value
    values: dict[tuple[str, tuple[str, str], int], float] = {}
    with measured() as span:
        for number, (task, rows) in enumerate(prompts.items()):
            with Bank(pair.base, models_of(adapters, number)) as bank:
                acts = capture(bank, rows)
            for layer in range(pair.base.n_layers + 1):
                sides = {name: Representation(acts_LSD[layer]) for name, acts_LSD in acts.items()}
                for two in PAIRS:
                    values[task, two, layer] = measure.compare(sides[two[0]], sides[two[1]])
    return span, values


@torch.no_grad()
def capture_like_the_paper(
    pair: Pair, rows: list[PromptRow], models: Mapping[str, Adapter | None], folder: Path
) -> int:
    """One prompt at a time, one file per example and layer; returns the bytes written."""
    written = 0
    for name, adapter in models.items():
        model = pair.model if adapter is None else peers.peft_model(pair.model, {"default": adapter}).eval()
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for example, row in enumerate(rows):
            states = model(input_ids=torch.tensor([row.context]), output_hidden_states=True).hidden_states
            for layer, states_BTD in enumerate(states):
                np.save(place / f"{example}-{layer}.npy", states_BTD[0, -1].float().numpy())
        written += sum(file.stat().st_size for file in place.iterdir())
        if adapter is not None:
            model.unload()
    return written


@torch.no_grad()
def generation_step(pair: Pair, row: PromptRow, models: Mapping[str, Adapter | None], steps: int) -> Span:
    """The time of one more token of ``generate``, mean over the models: the first token comes with the prompt."""
    total = Span()
    ids = torch.tensor([row.context])
    for adapter in models.values():
        model = pair.model if adapter is None else peers.peft_model(pair.model, {"default": adapter}).eval()
        for number, new in enumerate((1, 1, 1 + steps)):
            with measured() as one:
                model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), min_new_tokens=new, max_new_tokens=new,
                    do_sample=False, output_hidden_states=True, return_dict_in_generate=True, pad_token_id=0,
                )  # fmt: skip
            if number:  # the first call warms up
                total += one.times(-1.0 if new == 1 else 1.0)
        if adapter is not None:
            model.unload()
    return total.times(1 / (steps * len(models)))


def compare_ways(sizes: Sizes, report: Report) -> None:
    """End to end on the embedded base."""
    pair = embedded_pair()
    prompts, n_answer_tokens = task_prompts(pair, sizes)
    adapters = random_adapters(pair.base, len(prompts) + 1, SPEC)
    few = {task: rows[:4] for task, rows in list(prompts.items())[:1]}
    ours(pair, few, adapters)
    span, values = ours(pair, prompts, adapters)
    n_layers = pair.base.n_layers + 1
    capturing, comparing, written, apart = Span(), Span(), 0, 0.0
    # The embeddings of a constant last token have no CKA, and the paper's last layer is behind the final norm.
    inner = [1 + i * (n_layers - 2) // sizes.processes for i in range(sizes.processes)]
    with tempfile.TemporaryDirectory() as name:
        for number, (task, rows) in list(enumerate(prompts.items()))[: sizes.peer_tasks]:
            folder = Path(name) / task
            with measured() as one:
                written += capture_like_the_paper(pair, rows, models_of(adapters, number), folder)
            capturing += one
        task, folder = next(iter(prompts)), Path(name) / next(iter(prompts))
        for i, layer in enumerate(inner):
            two = PAIRS[i % 2]
            command = [sys.executable, "-m", "benchmarks.paper_cka", str(folder / two[0]), str(folder / two[1])]
            command += [str(layer), str(len(prompts[task]))]
            with measured() as one:
                done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
            comparing += one
            apart = max(apart, abs(float(done.stdout) - values[task, two, layer]))
    n_processes = len(prompts) * n_layers * len(PAIRS)
    whole = capturing.times(len(prompts) / sizes.peer_tasks) + comparing.times(n_processes / len(inner))
    step = generation_step(pair, prompts[task][0], models_of(adapters, 0), sizes.steps)
    # With its stop token an answer of k tokens takes k steps behind the prompt.
    n_steps = n_answer_tokens * len(models_of(adapters, 0))
    n_rows = len(next(iter(prompts.values())))
    what = f"states and CKA: {len(prompts)} tasks x {n_rows} prompts, {n_layers} layers, 3 models"
    equality = f"CKA {apart:.1e}; our bytes on disk: 0"
    report.rows += [
        faster(
            what, "the paper's way", whole + step.times(n_steps), span, target=20.0, equality=equality,
            peer_generation_s=step.wall * n_steps, peer_generated_tokens=n_steps, peer_step_s=step.wall,
        ),
        faster(
            what, "the paper's way, spared its generation", whole, span, target=20.0, equality=equality,
            peer_capture_s=capturing.wall * len(prompts) / sizes.peer_tasks,
            peer_cka_s=comparing.wall * n_processes / len(inner),
            peer_bytes_on_disk=written * len(prompts) / sizes.peer_tasks,
        ),
    ]  # fmt: skip
    megabytes = written * len(prompts) / sizes.peer_tasks / 1e6
    report.notes.append(
        f"the paper's way is timed on {sizes.peer_tasks} of {len(prompts)} tasks, {len(inner)} of {n_processes} CKA "
        f"processes and {sizes.steps} generated tokens per model, and multiplied; it writes {megabytes:.0f} MB in "
        f"{len(prompts) * 3 * n_layers * n_rows:,} files; it generates {n_steps:,} tokens behind the first, as many as "
        "gold answers and their ends have (its own limit is 512 per prompt)"
    )


def compare_cka(sizes: Sizes, report: Report) -> None:
    """CKA of three models' states, all three pairs per layer: Gram matrices once, against the feature-space formula."""
    measure: Measure = MEASURES.get("cka_biased").value
    rng = np.random.default_rng(0)
    mine, theirs, apart = Span(), Span(), 0.0
    pairs = ((0, 1), (0, 2), (1, 2))
    for layer in range(sizes.layers):
        shared = rng.standard_normal((sizes.rows, sizes.features), dtype=np.float32)
        states = [
            shared + rng.standard_normal((sizes.rows, sizes.features), dtype=np.float32) * (i + 1) for i in range(3)
        ]
        with measured() as one:
            sides = [Representation(x_SD) for x_SD in states]
            found = [measure.compare(sides[a], sides[b]) for a, b in pairs]
        mine += one
        if layer < sizes.peer_layers:
            with measured() as one:
                wanted = [feature_cka(states[a].astype(np.float64), states[b].astype(np.float64)) for a, b in pairs]
            theirs += one
            apart = max(apart, float(np.abs(np.subtract(found, wanted)).max()))
    report.rows.append(
        faster(
            f"CKA alone: {sizes.rows} x {sizes.features}, {sizes.layers} layers, 3 models",
            "feature-space formula, float64", theirs.times(sizes.layers / sizes.peer_layers), mine, target=None,
            equality=f"CKA {apart:.1e}",
        )
    )  # fmt: skip
    report.notes.append(
        f"CKA alone: random states, all three pairs; the formula, pair by pair, is timed on {sizes.peer_layers} "
        "layers and multiplied"
    )


def run(sizes: Sizes, out: Path) -> Report:
    """Both comparisons."""
    report = Report("layers")
    compare_ways(sizes, report)
    compare_cka(sizes, report)
    return report


if __name__ == "__main__":
    harness.main("layers", run, SIZES)
