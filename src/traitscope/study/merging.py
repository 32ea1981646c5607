"""A belt's adapters merged into one: by what weights, where it lies, and what it answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.compute import Adapted, Adapter, Evaluate, Merge, Records, answer
from traitscope.matrix.lmeval import lower_is_better
from traitscope.metrics import METRICS
from traitscope.records import Example
from traitscope.store import fingerprint
from traitscope.store.adapters import WEIGHTS, write_adapter
from traitscope.study.belt_answers import class_codes, counted_classes, row_values
from traitscope.study.context import Context
from traitscope.study.progress import show_tokens
from traitscope.tasks.judge import rejudge
from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.belt import SplitScores, TaskAnswers

FOLDER = "belt"


def merged_path(study: Context, name: str) -> Path:
    """Where a merged adapter of the belt lies."""
    return study.folder.root / FOLDER / name


def adapter_path(study: Context, name: str) -> Path:
    """Where an adapter of a belt lies, trained or merged."""
    merged = merged_path(study, name)
    return merged if merged.is_dir() else study.folder.adapter_path(name)


def merge_weights(found: SplitScores, chosen: Sequence[int], weights: str) -> list[float]:
    """Weights of a belt's adapters that sum to 1: ``equal``, or by mean ``gain`` over the base on the choosing rows."""
    if weights == "equal" or found.base is None:
        return [1.0 / len(chosen)] * len(chosen)
    gain_A = np.maximum((found.choose_IN[list(chosen)] - found.choose_IN[found.base]).mean(axis=1), 0.0)
    if not gain_A.any():
        return [1.0 / len(chosen)] * len(chosen)
    return [float(share) for share in gain_A / gain_A.sum()]


def merge_parts(study: Context, shares: Mapping[str, float], how: str, seed: int) -> str:
    """The name of the merged adapter: one name stands for the same parts, weights and draws in every belt."""
    marks = {part: head.fingerprint for part in shares if (head := study.folder.adapter(part)) is not None}
    # DARE alone draws.
    made_from = [[marks[part], round(share, 12)] for part, share in shares.items()]
    name = f"merged-{how}-{fingerprint([how, made_from, seed if how == 'dare' else None])[:6]}"
    folder = merged_path(study, name)
    if (folder / WEIGHTS).is_file():
        return name
    study.report_to.stage(f"merging {count_of(len(shares), 'adapter')} ({how})")
    # PEFT's TIES averages the entries that agree: weights of 1 are the plain mean there.
    scale = len(shares) if how == "ties" else 1
    order = Merge(
        key=name,
        model=study.loaded_base().source(),
        name=name,
        parts=tuple(study.folder.adapter_path(part) for part in shares),
        weights=tuple(scale * share for share in shares.values()),
        how=how,
        seed=seed,
    )
    made = answer(study.backend, order)
    assert isinstance(made, Adapter)
    words = ", ".join(f"{share:.3f} {part}" for part, share in shares.items())
    folder.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as place:
        # The weights' presence says that it is whole: what was interrupted is another folder.
        written = Path(place) / name
        written.mkdir()
        write_adapter(written, made.config, made.tensors, f"Merged ({how}) from: {words}. Made with traitscope.\n")
        shutil.rmtree(folder, ignore_errors=True)
        # Another process may have made the very same one by now.
        with suppress(FileExistsError):
            written.rename(folder)
    return name


def with_merged(study: Context, found: SplitScores, names: Sequence[str]) -> SplitScores:
    """The scores with merged adapters, evaluated on the same rows."""
    from traitscope.belt import SplitScores

    source = study.loaded_base().source()
    plan = study.backend.plan_scoring(source)
    answers = []
    for one in found.answers:
        study.report_to.stage(f"merged adapters on {one.task}")
        order = Evaluate(
            key=f"merged on {one.task}",
            model=source,
            models={name: Adapted(path=merged_path(study, name)) for name in names},
            task=study.data.tasks[one.task],
            examples=belt_examples(study, one),
            plan=plan,
            allow_code=study.allow_code,
        )
        made = answer(study.backend, order, partial(show_tokens, study.report_to))
        assert isinstance(made, Records)
        classes = counted_classes(study, one.task, one.metric)
        known = METRICS.get(one.metric).value if one.metric in METRICS else None
        higher = known.higher_is_better if known is not None else not lower_is_better(one.metric)
        for name in names:
            records = made.records[name]
            if order.task.form == "lm_eval":
                records = rejudge(order.task, order.examples, records)
            frame = pd.DataFrame([{"correct": r.correct, "loss": r.loss, "pred": r.pred} for r in records])
            code = None if classes is None else {name: c for c, name in enumerate(classes)}
            pred_S = None if code is None else class_codes(frame, code)
            one = one.with_model(row_values(frame, 1.0 if higher else -1.0), pred_S)
        answers.append(one)
    kinds = (*found.kinds, *("merged" for _ in names))
    return SplitScores.of_rows((*found.models, *names), kinds, answers, found.notes)


def belt_examples(study: Context, one: TaskAnswers) -> tuple[Example, ...]:
    """The rows of a task in the order of its answers."""
    by_id = {example.id: example for example in study.data.load(one.task).eval}
    return tuple(by_id[name] for name in one.ids)
