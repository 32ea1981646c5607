"""The ten kinds of the transfer paper on a real model: ``python -m benchmarks.grid --base smollm2-135m``.

Tasks, prompts and recipe are those of ``ten_kinds.yaml``. One process for both sides, part by part and within scoring
task by task, so that both meet the same minute of the machine: PEFT + transformers' Trainer against one bank,
lm-evaluation-harness' HFLM over a PeftModel against ``score_options`` and ``generate``. Both score the adapters that
our side trained. At the end the study itself is run as a user runs it, in as many processes as it takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.demo import read_study
from benchmarks.harness import OUT, Report, Row, Span, faster, finish, measured, quiet, use_settings
from benchmarks.models import DTYPES, n_tokens
from benchmarks.real_study import (
    QUICK,
    Sizes,
    data_folder,
    fast_precisions,
    least_tokens,
    real_pair,
    with_shots,
    write_study,
)
from benchmarks.train import ours as train_ours
from benchmarks.train import peak_of
from benchmarks.train import theirs as train_theirs
from traitscope.compute import TrainingJob
from traitscope.compute.jobs import engine_job
from traitscope.engine import Adapter, Bank, Base, generate, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import Example, OptionRow
from traitscope.store.models import resolve_model
from traitscope.study import Study
from traitscope.tasks.encode import option_rows, prompt_rows, prompt_text
from traitscope.tasks.task import Task

SHOT_TASKS = ("amazon", "pawsx", "toxicity")
PARTS = ("training", "0-shot", "5-shot", "generation")
TARGETS = {"training": 2.3, "0-shot": 4.5, "5-shot": 15.0, "generation": 3.0}
WHOLE_TARGET = 2.5
PEER = {"training": "PEFT + Trainer", "generation": "HFLM generate_until"}
# What HFLM is fastest with on a CPU (docs/performance.md, "Scoring answers").
BATCH_SIZE = 16
# Variables that make a processor's libraries do without its AVX-512.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
KERNELS: dict[str, dict[str, str]] = {"auto": {}, "avx2": AVX2}


@dataclass
class Side:
    """Both sides of one part: their time, the least that the products need, and how far the results are apart."""

    theirs: Span = field(default_factory=Span)
    ours: Span = field(default_factory=Span)
    flops: float = 0.0
    apart: float = 0.0
    texts: int = 0
    same_texts: int = 0
    equality: str = ""

    def said(self) -> str:
        if self.texts:
            return f"{self.same_texts} of {self.texts} texts identical"
        return self.equality or f"log-likelihoods {self.apart:.1e}"


class Comparison:
    """Both sides on one base in one precision."""

    def __init__(self, sizes: Sizes, precision: str, path: Path, say: Callable[[str], None]) -> None:
        self.sizes, self.precision, self.say = sizes, precision, say
        self.config, self.tasks = read_study(path)
        self.pair = real_pair(sizes.base, precision)
        self.peak = peak_of(self.pair.base)
        self.sides = {part: Side() for part in PARTS}
        self.adapters: dict[str, Adapter] = {}
        self.n_trained = 0

    @property
    def base(self) -> Base:
        return self.pair.base

    def train(self) -> None:
        """All adapters side by side, then each with Trainer."""
        side = self.sides["training"]
        jobs = []
        for source in self.config.resolved_sources():
            parts = ((self.tasks[source.task], self.tasks[source.task].load().train),)
            jobs.append(engine_job(self.base, TrainingJob(name=source.name, parts=parts, recipe=source.recipe, seed=0)))
        self.n_trained = sum(n_tokens(job.rows) for job in jobs)
        side.flops = 4.0 * self.base.n_parameters * self.n_trained
        self.say(f"training {len(jobs)} adapters on {self.n_trained} tokens: ours")
        side.ours, results = train_ours(self.base, jobs, jobs[:1])
        self.say(f"... {side.ours.wall:.0f} s; Trainer")
        side.theirs, apart = train_theirs(self.pair, jobs, results, "trainer", self.precision == "bf16")
        side.equality = f"loss {apart['loss']:.1e}, weights {apart['weights']:.1e}"
        self.say(f"... {side.theirs.wall:.0f} s; {side.equality}")
        self.adapters = {name: result.adapter for name, result in results.items()}

    def score(self) -> None:
        """Every task under the base and some adapters; answers among options, then generated ones."""
        chosen = dict(list(self.adapters.items())[: max(1, self.sizes.models - 1)])
        wrapped = peers.peft_model(self.pair.model, chosen).eval()
        lm = peers.Harness(wrapped, self.pair.tokenizer, BATCH_SIZE)
        models: dict[str, Adapter | None] = {"base": None, **chosen}
        for task in self.tasks.values():
            examples = task.load().eval
            part = "generation" if task.form == "generate" else "0-shot"
            self._task(lm, models, part, task, examples)
        few = dict(list(models.items())[-self.sizes.shot_models :])
        for name in SHOT_TASKS:
            if name in self.tasks:
                task = with_shots(self.tasks[name], self.config.root)
                self._task(lm, few, "5-shot", task, task.load().eval)

    def _task(
        self, lm: peers.Harness, models: dict[str, Adapter | None], part: str, task: Task, examples: Sequence[Example]
    ) -> None:
        side = self.sides[part]
        done = (self._generated if part == "generation" else self._chosen)(lm, models, side, task, examples)
        self.say(f"{task.name} ({part}, {len(models)} models): theirs {done[1].wall:.1f} s, ours {done[0].wall:.1f} s")
        side.ours += done[0]
        side.theirs += done[1]

    def _chosen(
        self, lm: peers.Harness, models: dict[str, Adapter | None], side: Side, task: Task, examples: Sequence[Example]
    ) -> tuple[Span, Span]:
        with measured() as ours, Bank(self.base, models) as bank:
            # The last option is the gold one once more, with its end, for a loss that the peer is not asked for.
            scored = option_rows(task, examples, self.base.tokenizer)
            rows = [OptionRow(row.context, row.options[:-1]) for row in scored]
            found = score_options(bank, rows)
        pairs = [
            (prompt_text(task, example, lm.lm.tokenizer), option)
            for example in examples
            for option in example.options or ()
        ]
        theirs = Span()
        for name, values in found.items():
            with measured() as span:
                sums = under(lm, name, lambda: lm.loglikelihoods(pairs))
            theirs += span
            mine = np.array([option.sum() for row in values for option in row])
            side.apart = max(side.apart, float(np.abs(sums - mine).max()))
        side.flops += 2.0 * self.base.n_parameters * least_tokens(rows) * len(models)
        return ours, theirs

    def _generated(
        self, lm: peers.Harness, models: dict[str, Adapter | None], side: Side, task: Task, examples: Sequence[Example]
    ) -> tuple[Span, Span]:
        settings = task.config.answer.generate
        assert settings is not None
        with measured() as ours, Bank(self.base, models) as bank:
            rows = prompt_rows(task, examples, self.base.tokenizer)
            found = generate(bank, rows, max_new_tokens=settings.max_tokens, stop=settings.stop)
        prompts = [prompt_text(task, example, lm.lm.tokenizer) for example in examples]
        theirs = Span()
        for name, made in found.items():
            with measured() as span:
                texts = under(lm, name, lambda: lm.continuations(prompts, settings.max_tokens, settings.stop))
            theirs += span
            side.texts += len(texts)
            side.same_texts += sum(text == one.text for text, one in zip(texts, made, strict=True))
            side.flops += 2.0 * self.base.n_parameters * sum(len(one.ids) for one in made)
        side.flops += 2.0 * self.base.n_parameters * sum(len(row.context) for row in rows) * len(models)
        return ours, theirs

    def rows(self) -> list[Row]:
        """One row for every part, and the whole: training, scoring without shots, generating."""
        made = [
            faster(
                f"{part}, {self.precision}", PEER.get(part, "HFLM + PeftModel"), side.theirs, side.ours,
                target=TARGETS[part], equality=side.said(), floor=side.flops / self.peak,
            )
            for part, side in self.sides.items() if side.ours.wall
        ]  # fmt: skip
        parts = [self.sides[part] for part in PARTS if part != "5-shot"]
        theirs, ours = Span(), Span()
        for side in parts:
            theirs, ours = theirs + side.theirs, ours + side.ours
        floor = sum(side.flops for side in parts) / self.peak
        what = f"all but the shots, {self.precision}"
        return [*made, faster(what, "both", theirs, ours, target=WHOLE_TARGET, equality="", floor=floor)]

    def whole_grid(self) -> tuple[Span, float]:
        """The peer's time for all models where it was timed on some, and by what its scoring was multiplied."""
        factor = (len(self.adapters) + 1) / min(self.sizes.models, len(self.adapters) + 1)
        scoring = self.sides["0-shot"].theirs + self.sides["generation"].theirs
        return self.sides["training"].theirs + scoring.times(factor), factor


def under(lm: peers.Harness, name: str, work: Callable[[], Any]) -> Any:
    """What the peer finds with one adapter, or without any."""
    if name == "base":
        with lm.model.disable_adapter():
            return work()
    lm.model.set_adapter(name)
    return work()


def run_study(path: Path, folder: Path) -> Span:
    """The study as a user runs it: its processes, checkpoints and run folder; no analysis."""
    with measured() as span:
        Study.open(path, out=folder).run()
    return span


def run(sizes: Sizes, data: Path, notes: list[str]) -> Report:
    """All parts in every precision."""
    report = Report("real", notes=notes)
    start = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - start:5.0f} s] {line}", flush=True)

    for precision in sizes.precisions:
        with tempfile.TemporaryDirectory() as name:
            path = write_study(Path(name), data, sizes, precision)
            say(f"loading {sizes.base} in {precision}, twice")
            both = Comparison(sizes, precision, path, say)
            both.train()
            both.score()
            report.rows += both.rows()
            report.notes.append(
                f"{precision}: floor: {both.base.n_parameters / 1e6:.0f} M parameters, 4 P FLOP per trained token, 2 P "
                f"per token scored or generated, at {both.peak / 1e9:.0f} GFLOP/s, the best of large products"
            )
            if sizes.study:
                theirs, factor = both.whole_grid()
                adapters = len(both.adapters)
                del both
                say("the study itself")
                ours = run_study(path, Path(name) / "run")
                what = f"as a study runs it: {adapters} adapters, {adapters + 1} models, {precision}"
                report.rows.append(faster(what, "both, one process", theirs, ours, target=None, equality=""))
                report.notes.append(
                    f"{precision}: the study's run: processes {sizes.processes}, run folder and losses of the gold "
                    f"answers included; the peer's scoring is multiplied by {factor:.2f}"
                )
    report.notes.append(
        f"{sizes.base}: {sizes.tasks} kinds, {sizes.steps} steps of 8 rows each, {sizes.rows} evaluation rows, "
        f"{sizes.models} models (5-shot: {sizes.shot_models}); loading is not counted; kernels: {sizes.kernels}"
    )
    return report


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid --base", description=__doc__)
    parser.add_argument("--base", required=True, help="smollm2-135m, a folder, a GGUF file or a Hub id")
    parser.add_argument("--data", type=Path, help="folder of the datasets (default: $TRAITSCOPE_SHARED/data)")
    parser.add_argument("--quick", action="store_true", help="four minutes on two cores; the default takes twenty")
    parser.add_argument("--precisions", nargs="+", choices=sorted(DTYPES), help="default: those that are fast here")
    parser.add_argument("--kernels", choices=KERNELS, default="auto", help="avx2: as if there were no AVX-512")
    parser.add_argument("--threads", type=int, help="of both sides (default: torch's own)")
    parser.add_argument("--processes", type=int, help="of the study's run (default: the study's own choice)")
    parser.add_argument("--rows", type=int, help="evaluation rows per task")
    parser.add_argument("--steps", type=int, help="optimiser steps per adapter")
    parser.add_argument("--models", type=int, help="models that are scored and asked to generate")
    parser.add_argument("--tasks", type=int, help="kinds, of ten")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON file")
    return parser.parse_args()


def main() -> None:
    """Command line; a missing base or data folder ends it with one sentence."""
    args = arguments()
    use_settings("benchmarks.grid", **KERNELS[args.kernels])
    quiet()
    notes: list[str] = []
    given = {name: getattr(args, name) for name in ("rows", "steps", "models", "tasks", "threads", "processes")}
    sizes = replace(QUICK if args.quick else Sizes(), base=args.base, kernels=args.kernels)
    sizes = replace(sizes, **{name: value for name, value in given.items() if value is not None})
    if sizes.threads:
        torch.set_num_threads(sizes.threads)
    sizes = replace(sizes, precisions=tuple(args.precisions or fast_precisions(notes)))
    for note in notes:
        print(note, flush=True)
    try:
        data = data_folder(args.data)
        resolve_model(sizes.base)
        finish(lambda: run(sizes, data, notes), "quick" if args.quick else "default", sizes, args.out)
    except TraitscopeError as error:
        raise SystemExit(str(error)) from error
