"""What ``real`` runs on: sizes, the ten kinds at these sizes, a real base for both sides, the least work there is."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch.nn import functional as F

from benchmarks.models import DTYPES, Pair
from traitscope.engine import load_base
from traitscope.engine.score import common_prefix, make_tree
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow
from traitscope.store.models import resolve_model
from traitscope.tasks.task import Task

STUDY = Path(__file__).with_name("ten_kinds.yaml")
WRITTEN_ROOT = "../../shared/data"


@dataclass(frozen=True)
class Sizes:
    """What is run.

    Attributes:
        base, precisions, threads, kernels: what the command was told.
        steps: optimiser steps of each of the ten adapters.
        rows: evaluation rows of each task.
        models: scored and asked to generate, the base among them.
        shot_models: the same with five shots.
        tasks: the first so many kinds.
        study: whether the study is run too.
        processes: of the study's run.
    """

    base: str = "smollm2-135m"
    precisions: tuple[str, ...] = ("fp32",)
    threads: int | None = None
    kernels: str = "auto"
    steps: int = 3
    rows: int = 8
    models: int = 4
    shot_models: int = 2
    tasks: int = 10
    study: bool = True
    processes: int | str = "auto"


QUICK = Sizes(steps=1, rows=3, models=2, shot_models=1, study=False)


def fast_precisions(notes: list[str]) -> tuple[str, ...]:
    """fp32, and bf16 where a small product is no slower in it: some processors emulate it."""
    seconds = {}
    for name in ("fp32", "bf16"):
        x = torch.randn(256, 256).to(DTYPES[name])
        seconds[name] = min(_timed(x) for _ in range(4))
    if seconds["bf16"] <= seconds["fp32"]:
        return ("fp32", "bf16")
    factor = seconds["bf16"] / seconds["fp32"]
    notes.append(f"bf16 is not run: on this processor a product takes {factor:.1f} times as long in it as in fp32")
    return ("fp32",)


def _timed(x: torch.Tensor) -> float:
    start = time.perf_counter()
    F.linear(x, x)
    return time.perf_counter() - start


def data_folder(named: Path | None) -> Path:
    """Where the public files lie: as named, in ``$TRAITSCOPE_SHARED/data``, or beside the repository.

    Raises:
        TraitscopeError: they are not there.
    """
    shared = os.environ.get("TRAITSCOPE_SHARED")
    beside = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    folder = (named or beside / "data").resolve()
    if not (folder / "gsm8k").is_dir():
        raise TraitscopeError(
            "the ten datasets are not there", where=str(folder), fix="name their folder: --data, or TRAITSCOPE_SHARED"
        )
    return folder


def write_study(folder: Path, data: Path, sizes: Sizes, precision: str) -> Path:
    """The ten kinds' study at these sizes: no control, mix or layers; the few-shot tasks are no part of it."""
    study = yaml.safe_load(STUDY.read_text(encoding="utf-8").replace(WRITTEN_ROOT, str(data)))
    for key in ("controls", "mixes", "layers"):
        study.pop(key, None)
    study["base"] = {"model": sizes.base, "dtype": precision}
    names = list(study["tasks"])
    # The first three have generated answers: fewer kinds are taken from both ends.
    kept = names if sizes.tasks >= len(names) else [*names[1:2], *names[6 : 5 + sizes.tasks]]
    study["tasks"] = {name: study["tasks"][name] for name in kept}
    for task in study["tasks"].values():
        task["data"] |= {"train": sizes.steps * study["recipe"]["batch"], "eval": sizes.rows}
    study["compute"] = {"device": "cpu", "workers": sizes.processes}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def with_shots(task: Task, root: Path) -> Task:
    """The task with the same five examples before every prompt."""
    config = task.config.model_copy(update={"shots": task.config.shots.model_copy(update={"n": 5, "fixed": True})})
    return Task(f"{task.name}-5-shot", config, root)


def real_pair(base: str, precision: str) -> Pair:
    """The peer's plain model and our base."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        resolve_model(base), dtype=DTYPES[precision], attn_implementation="sdpa", trust_remote_code=False
    )
    return Pair(model.eval(), load_base(base, dtype=precision, device="cpu"))


def least_tokens(rows: Sequence[OptionRow]) -> int:
    """Tokens that have to pass through a model for these rows: shared beginnings once, last tokens of options never."""
    shared = common_prefix([row.context for row in rows])
    return shared + sum(make_tree(row, shared).n_tokens for row in rows)
