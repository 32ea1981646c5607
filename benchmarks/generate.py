"""Greedy answers of ten adapters: lm-evaluation-harness' ``generate_until`` against ``engine.generate``.

Prompts are those of the demo's three tasks with generated answers; the adapters are trained briefly on the demo's ten
sources, so that answers end where they would in a study. Both sides start from text and end with text.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import demo, harness, peers
from benchmarks.harness import Report, Span, faster, measured
from benchmarks.models import embedded_pair
from traitscope.engine import Adapter, Bank, Base, LoraSpec, TrainJob, generate, plan_bank, train
from traitscope.tasks.encode import prompt_rows, prompt_text, training_rows
from traitscope.tasks.task import Task

SPEC = LoraSpec(8, 16.0)


@dataclass(frozen=True)
class Sizes:
    """``peer_adapters`` of the ``adapters`` are timed with the peer; ``steps`` of training, ``examples`` per task."""

    adapters: int = 10
    peer_adapters: int = 10
    steps: int = 20
    examples: int = 60
    probe: int = 32
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64)


SIZES = {
    "default": Sizes(),
    "full": Sizes(peer_adapters=10, steps=60, examples=200),
    "tiny": Sizes(adapters=2, peer_adapters=1, steps=1, examples=3, probe=2, batch_sizes=(4,)),
}


def trained(base: Base, tasks: dict[str, Task], n: int, steps: int) -> dict[str, Adapter]:
    """One adapter per task, after a few steps."""
    jobs = []
    for name, task in list(tasks.items())[:n]:
        rows = training_rows(task, task.load().train[: 16 * steps], base.tokenizer, 256)
        jobs.append(TrainJob(name, rows, SPEC, 3e-3, warmup=0.1, batch=16))
    return {name: result.adapter for name, result in train(base, jobs, plan_bank(base, jobs)).items()}


def run(sizes: Sizes, out: Path) -> Report:
    """The embedded base in fp32."""
    report = Report("generate")
    pair = embedded_pair()
    base = pair.base
    with tempfile.TemporaryDirectory() as folder:
        _, tasks = demo.read_study(demo.write_study(Path(folder), n_eval=sizes.examples))
        adapters = trained(base, tasks, sizes.adapters, sizes.steps)
        lm = peers.Harness(peers.peft_model(pair.model, adapters).eval(), pair.tokenizer)
        names = [list(adapters)[i * len(adapters) // sizes.peer_adapters] for i in range(sizes.peer_adapters)]
        total, peer_total, same, count = Span(), Span(), 0, 0
        for task in (task for task in tasks.values() if task.form == "generate"):
            settings = task.config.answer.generate
            assert settings is not None
            limit, stop = settings.max_tokens, settings.stop
            examples = task.load().eval
            with Bank(base, adapters) as bank:
                generate(bank, prompt_rows(task, examples[:2], base.tokenizer), max_new_tokens=2, stop=stop)
                with measured() as span:
                    rows = prompt_rows(task, examples, base.tokenizer)
                    found = generate(bank, rows, max_new_tokens=limit, stop=stop)
            total += span
            prompts = [prompt_text(task, example, base.tokenizer) for example in examples]
            sample = prompts[: sizes.probe]
            seconds = lm.find_batch_size(partial(lm.continuations, sample, limit, stop), sizes.batch_sizes)
            peer_span = Span()
            for name in names:
                with measured() as one:
                    lm.model.set_adapter(name)
                    texts = lm.continuations(prompts, limit, stop)
                peer_span += one
                same += sum(text == made.text for text, made in zip(texts, found[name], strict=True))
                count += len(texts)
            peer_span = peer_span.times(len(adapters) / len(names))
            peer_total += peer_span
            tokens = sum(len(made.ids) for each in found.values() for made in each)
            report.rows.append(
                faster(
                    f"{task.name}: {len(prompts)} prompts, at most {limit} tokens", "HFLM generate_until", peer_span,
                    span, target=None, equality="", tokens=tokens, batch_size=lm.batch_size, batch_seconds=seconds,
                )
            )  # fmt: skip
        report.rows.append(
            faster(
                "all three tasks", "HFLM generate_until", peer_total, total, target=4.0,
                equality=f"{same} of {count} strings identical",
            )
        )  # fmt: skip
    report.notes.append(
        f"{len(adapters)} adapters (rank {SPEC.rank}, {sizes.steps} steps of training), embedded base, fp32; the "
        f"peer is timed on {len(names)} of them with its fastest batch size and multiplied"
    )
    return report


if __name__ == "__main__":
    harness.main("generate", run, SIZES)
