"""The whole grid of the embedded study: ten adapters, eleven models, ten tasks, one process.

(a) PEFT + transformers' Trainer, one adapter after the other on one loaded base, then lm-evaluation-harness' HFLM over
    one PeftModel that holds all adapters; traitscope's own judge turns HFLM's numbers and texts into scores.
(b) traitscope's study pipeline in a temporary run folder, with everything that it writes there and, beyond (a), the
    loss of every gold answer.

Rows, order, steps, recipe and precision (fp32) are the same. Adapters trained by (a) and (b) differ by rounding, which
training amplifies; therefore (a)'s adapters are scored by traitscope as well, and there the log-likelihoods must agree.

With ``--base`` another study takes the embedded one's place: ten real datasets on a real model (``real.py``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks import demo, harness, peers
from benchmarks.harness import Report, Span, environment, faster, measured
from traitscope.compute import Adapted, Evaluate, Records, TrainingJob, answer
from traitscope.compute.jobs import engine_job
from traitscope.compute.local import Local
from traitscope.config import StudyConfig
from traitscope.engine import Adapter
from traitscope.records import Example, ExampleRecord, Generated
from traitscope.store.models import resolve_model
from traitscope.study import Study
from traitscope.tasks.encode import prompt_text
from traitscope.tasks.judge import judge_options, judge_texts, summarise
from traitscope.tasks.task import Task


@dataclass(frozen=True)
class Sizes:
    """``train_share`` of the demo's train rows, ``n_eval`` rows per task (None: the demo's), ``cells`` processes."""

    train_share: float = 0.2
    n_eval: int | None = 40
    tasks: int = 10
    cells: int = 0
    probe: int = 64
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64)


SIZES = {
    "default": Sizes(),
    "full": Sizes(train_share=1.0, n_eval=None, cells=10),
    "tiny": Sizes(train_share=0.015, n_eval=4, tasks=2, probe=2, batch_sizes=(4,)),
}


@dataclass
class Side:
    """What one side needed and found: ``records[model][task]``."""

    training: Span = field(default_factory=Span)
    scoring: Span = field(default_factory=Span)
    records: dict[str, dict[str, list[ExampleRecord]]] = field(default_factory=dict)


def source_names(config: StudyConfig) -> dict[str, str]:
    """Adapter name -> its task."""
    return {f"{source.name}-s{source.recipe.seeds[0]}": source.task for source in config.resolved_sources()}


def ours(path: Path, folder: Path) -> tuple[Side, Study]:
    """(b): train, then evaluate, through the study's run folder."""
    side = Side()
    study = Study.open(path, out=folder)
    with measured() as side.training:
        study.train()
    with measured() as side.scoring:
        study.evaluate()
    for model in study.models():
        side.records[model] = {task: study.read_records(model, task) for task in study.config.target_names()}
    return side, study


class Peer:
    """(a): Trainer and HFLM on one loaded base."""

    def __init__(self, path: Path, folder: Path, local: Local, source: Any) -> None:
        self.config, self.tasks = demo.read_study(path)
        self.folder = folder
        self.local, self.source = local, source
        self.side = Side()
        self.batch_sizes: dict[str, int] = {}

    def train(self) -> None:
        """Every adapter with Trainer, saved as PEFT saves it. Drawing the initial weights is not counted."""
        from transformers import AutoModelForCausalLM

        base = self.local.base(self.source)
        with measured() as loading:
            model = AutoModelForCausalLM.from_pretrained(
                resolve_model("embedded"), dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
            )
        total = loading
        for source in self.config.resolved_sources():
            recipe, seed = source.recipe, source.recipe.seeds[0]
            with measured() as span:
                examples = self.tasks[source.task].load().train
                name = f"{source.name}-s{seed}"
                parts = ((self.tasks[source.task], examples),)
                job = engine_job(base, TrainingJob(name=name, parts=parts, recipe=recipe, seed=seed))
            total += span
            initial = Adapter.init(base, job.spec, seed)
            with measured() as span:
                wrapped = peers.peft_model(model, {"default": initial})
                peers.make_trainer(wrapped, job, str(self.folder / "trainer")).train()
                wrapped.save_pretrained(self.folder / "adapters" / name)
                model = wrapped.unload()
            total += span
        self.side.training = total

    def score(self, batch_sizes: Sequence[int], probe: int) -> None:
        """Every model on every task; the batch size is found for each task on the base, which is not counted."""
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        with measured() as total:
            base = AutoModelForCausalLM.from_pretrained(
                resolve_model("embedded"), dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
            )
            names = list(source_names(self.config))
            wrapped = PeftModel.from_pretrained(base, self.folder / "adapters" / names[0], adapter_name=names[0])
            for name in names[1:]:
                wrapped.load_adapter(self.folder / "adapters" / name, adapter_name=name)
            lm = peers.Harness(wrapped.eval(), self.local.base(self.source).tokenizer)
        for task in (self.tasks[name] for name in self.config.target_names()):
            with measured() as span:
                examples = task.load().eval
            total += span
            sample = examples[: max(1, probe // 4)]
            lm.find_batch_size(partial(answers, lm, task, sample), batch_sizes)
            self.batch_sizes[task.name] = lm.batch_size
            for model in ("base", *names):
                with measured() as span:
                    if model == "base":
                        with wrapped.disable_adapter():
                            found = answers(lm, task, examples)
                    else:
                        wrapped.set_adapter(model)
                        found = answers(lm, task, examples)
                    records = judged(task, examples, found)
                total += span
                self.side.records.setdefault(model, {})[task.name] = records
        self.side.scoring = total


def answers(lm: peers.Harness, task: Task, examples: Sequence[Example]) -> list[Any]:
    """HFLM's log-likelihoods of every option, or its texts, one entry per example."""
    prompts = [prompt_text(task, example, lm.lm.tokenizer) for example in examples]
    if task.form == "generate":
        settings = task.config.answer.generate
        assert settings is not None
        return list(lm.continuations(prompts, settings.max_tokens, settings.stop))
    options = [example.options or () for example in examples]
    pairs = [(prompt, option) for prompt, each in zip(prompts, options, strict=True) for option in each]
    flat = lm.loglikelihoods(pairs)
    return np.split(flat, np.cumsum([len(each) for each in options])[:-1])


def judged(task: Task, examples: Sequence[Example], found: Sequence[Any]) -> list[ExampleRecord]:
    """Records from HFLM's answers; it gives no loss of the gold answer, which stays 0."""
    none = np.zeros(1)
    if task.form == "generate":
        made = [Generated((), text, "eos") for text in found]
        return judge_texts(task, examples, made, [(none,)] * len(examples))
    return judge_options(task, examples, [(*(np.array([value]) for value in each), none) for each in found])


def score_again(study: Study, folder: Path, models: Sequence[str]) -> dict[str, dict[str, list[ExampleRecord]]]:
    """(a)'s adapters, scored by traitscope."""
    source = study.loaded_base().source()
    plan = study.backend.plan_scoring(source)
    out: dict[str, dict[str, list[ExampleRecord]]] = {}
    for model in models:
        for name, task in study.data.tasks.items():
            order = Evaluate(
                key=f"{model} on {name}",
                model=source,
                models={model: Adapted(path=folder / "adapters" / model)},
                task=task,
                examples=task.load().eval,
                plan=plan,
            )
            found = answer(study.backend, order)
            assert isinstance(found, Records)
            out.setdefault(model, {})[name] = found.records[model]
    return out


@dataclass
class Apart:
    """How far two sets of records are from each other."""

    score: float = 0.0
    loglikelihood: float = 0.0
    texts: int = 0
    same_texts: int = 0

    def __str__(self) -> str:
        texts = f", {self.same_texts} of {self.texts} texts identical" if self.texts else ""
        return f"scores {self.score:.1e}, log-likelihoods {self.loglikelihood:.1e}{texts}"


def distance(
    tasks: dict[str, Task],
    one: dict[str, dict[str, list[ExampleRecord]]],
    two: dict[str, dict[str, list[ExampleRecord]]],
    models: Sequence[str],
) -> Apart:
    """Largest difference of any metric and any option's log-likelihood; texts that are the same."""
    apart = Apart()
    for model in models:
        for name, task in tasks.items():
            examples = task.load().eval
            pair = one[model][name], two[model][name]
            # HFLM was not asked for the loss of the gold answer.
            scores = [
                {score.metric: score.value for score in summarise(task, side, examples)[0] if score.metric != "loss"}
                for side in pair
            ]
            apart.score = max(apart.score, *(abs(scores[0][metric] - scores[1][metric]) for metric in scores[0]))
            for a, b in zip(*pair, strict=True):
                if a.logprobs is not None and b.logprobs is not None:
                    apart.loglikelihood = max(
                        apart.loglikelihood, float(np.abs(np.subtract(a.logprobs, b.logprobs)).max())
                    )
                if a.output is not None:
                    apart.texts += 1
                    apart.same_texts += a.output == b.output
    return apart


def keep_tasks(path: Path, n: int) -> None:
    """Keep the first and the last tasks of the study file, ``n`` in all, one of them with generated answers."""
    study = yaml.safe_load(path.read_text())
    names = list(study["tasks"])
    if n < len(names):
        chosen = ["arithmetic", *[name for name in names if name != "arithmetic"]][:n]
        study["tasks"] = {name: study["tasks"][name] for name in names if name in chosen}
        path.write_text(yaml.safe_dump(study, sort_keys=False))


def cell_processes(peer: Peer, n: int) -> Span:
    """One ``lm_eval`` process per cell: ``n`` cells of the diagonal, timed; returns the mean."""
    folder = peer.folder / "lm_eval"
    folder.mkdir(exist_ok=True)
    total = Span()
    cells = list(source_names(peer.config).items())[:n]
    for adapter, name in cells:
        task = peer.tasks[name]
        examples = task.load().eval
        data = folder / f"{name}.jsonl"
        docs = [
            {"prompt": example.prompt, "options": list(example.options or ()), "gold": example.gold or 0,
             "answer": example.answer}
            for example in examples
        ]  # fmt: skip
        data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        settings: dict[str, Any] = {
            "task": f"bench_{name}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "doc_to_text": "{{prompt}}",
            "target_delimiter": "",
        }
        if task.form == "generate":
            generation = task.config.answer.generate
            assert generation is not None
            settings |= {
                "output_type": "generate_until",
                "doc_to_target": "{{answer}}",
                "generation_kwargs": {
                    "until": list(generation.stop), "max_gen_toks": generation.max_tokens, "do_sample": False,
                },
                "metric_list": [{"metric": "exact_match"}],
            }  # fmt: skip
        else:
            settings |= {
                "output_type": "multiple_choice",
                "doc_to_choice": "{{options}}",
                "doc_to_target": "{{gold}}",
                "metric_list": [{"metric": "acc"}],
            }
        (folder / f"bench_{name}.yaml").write_text(yaml.safe_dump(settings))
        model = f"pretrained={resolve_model('embedded')},peft={peer.folder / 'adapters' / adapter},dtype=float32"
        command = [
            sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", model, "--tasks", f"bench_{name}",
            "--include_path", str(folder), "--device", "cpu", "--batch_size", str(peer.batch_sizes[name]),
        ]  # fmt: skip
        with measured() as span:
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"lm_eval failed on {name}:\n{done.stderr[-2000:]}")
        total += span
    return total.times(1 / len(cells))


def import_all() -> None:
    """What both sides import, before any clock starts."""
    import lm_eval.models.huggingface
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, Trainer

    _ = lm_eval, peft, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, Trainer


def run(sizes: Sizes, out: Path) -> Report:
    """Both sides, then the comparison."""
    report = Report("grid")
    import_all()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = demo.write_study(folder, train_share=sizes.train_share, n_eval=sizes.n_eval)
        keep_tasks(path, sizes.tasks)
        mine, study = ours(path, folder / "run")
        peer = Peer(path, folder / "peer", Local(study.config.compute), study.loaded_base().source())
        peer.train()
        peer.score(sizes.batch_sizes, sizes.probe)
        names = list(source_names(study.config))
        again = score_again(study, peer.folder, names)
        tasks = study.data.tasks
        same = distance(tasks, {"base": mine.records["base"], **again}, peer.side.records, ["base", *names])
        own = distance(tasks, mine.records, peer.side.records, ["base", *names])
        theirs = peer.side
        size = f"{len(names)} adapters, {len(names) + 1} x {len(tasks)} cells"
        report.rows += [
            faster(f"{size}: training", "PEFT + Trainer", theirs.training, mine.training, target=None, equality=""),
            faster(f"{size}: scoring", "HFLM + PeftModel", theirs.scoring, mine.scoring, target=None,
                   equality=f"the same adapters on both sides: {same}"),
            faster(f"{size}: in all", "both, one process", theirs.training + theirs.scoring,
                   mine.training + mine.scoring, target=5.0, equality=f"each side's own adapters: {own}"),
        ]  # fmt: skip
        if sizes.cells:
            cell = cell_processes(peer, sizes.cells)
            n_cells = (len(names) + 1) * len(tasks)
            total = theirs.training + cell.times(n_cells)
            report.rows.append(
                faster(f"{size}: in all", "Trainer, then one lm_eval process per cell", total,
                       mine.training + mine.scoring, target=10.0, equality="", seconds_per_cell=cell.wall)
            )  # fmt: skip
            report.notes.append(
                f"one lm_eval process per cell: {cell.wall:.1f} s, the mean of {sizes.cells} cells, times {n_cells}"
            )
        counts = {name: (len(task.load().train), len(task.load().eval)) for name, task in tasks.items()}
        report.details = {
            "rows": counts, "batch_sizes": peer.batch_sizes, "same_adapters": vars(same), "own_adapters": vars(own),
        }  # fmt: skip
        report.notes.append(
            f"{sizes.train_share:.0%} of the demo's train rows, {sum(n for n, _ in counts.values())} in all, x "
            f"{study.config.recipe.epochs} epochs, {sum(n for _, n in counts.values())} evaluation rows, fp32; ours "
            "writes the whole run folder and scores every gold answer's loss besides; "
            "loading the base counts on both sides, imports do not"
        )
    return report


if __name__ == "__main__":
    if any(argument.split("=")[0] == "--base" for argument in sys.argv[1:]):
        from benchmarks import real

        real.main()
    else:
        harness.main("grid", run, SIZES)
