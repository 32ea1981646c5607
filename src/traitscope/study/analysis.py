"""From a filled folder to findings: every result is written to ``analysis/`` as it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.study.costs import load_tokenizer

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.matrix import ScoreMatrix
    from traitscope.stats import DatasetStats
    from traitscope.study.study import Study
    from traitscope.traits import Traits


def scores(study: Study, *, records: bool = False) -> ScoreMatrix:
    """The score matrix of the committed cells.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    from traitscope.matrix import ScoreMatrix, align_records

    table = study.score_table()
    if table.empty:
        raise TraitscopeError(
            "no cell has been evaluated yet", where=str(study.folder.root), fix="traitscope run fills it"
        )
    table = table.assign(base=study.config.base.model, status="measured")
    tags = {name: dict(task.tags) for name, task in study.config.tasks.items()}
    matrix = ScoreMatrix.from_long(table, tags=tags, where=str(study.folder.root / "cells"))
    if not records:
        return matrix
    found = {}
    for task, cells in table.groupby("task", sort=False):
        values = {str(model): _values(study, str(model), str(task)) for model in cells["model"].unique()}
        series = {model: found_S for model, found_S in values.items() if found_S is not None}
        if series:
            found[str(task)] = align_records(series)
    return matrix.with_records(found)


def _values(study: Study, model: str, task: str) -> pd.Series | None:
    """The primary metric of every example, by id; None where examples have none (the loss form)."""
    frame = study.records(model, task).set_index("id")
    if frame["correct"].isna().all():
        return None
    return frame["correct"].astype(float)


def traits(study: Study, **options: Any) -> Traits:
    """Traits of the study's matrix, written to ``analysis/traits.json``."""
    from traitscope.traits import fit_traits

    found = fit_traits(study.scores(), **options)
    save(study, "traits.json", found.to_json())
    return found


def dataset_statistics(study: Study, *, tokens: bool = True, **options: Any) -> DatasetStats:
    """Statistics of the sources' train rows (of the eval rows for a task without any).

    Args:
        tokens: count lengths in the base's tokens too (loads its tokenizer).
    """
    from traitscope.stats import DatasetText, dataset_stats

    datasets = []
    for name in study.config.tasks:
        splits = study.examples(name)
        datasets.append(DatasetText.from_examples(name, splits["train"] or splits["eval"]))
    tokenizer = None
    if tokens:
        loaded = load_tokenizer(study.config.base.model, study.config.base.revision)

        def tokenizer(text: str) -> list[int]:
            return list(loaded.encode(text, add_special_tokens=False))

    found = dataset_stats(datasets, tokenizer, **options)
    save(study, "stats.json", found.to_json())
    return found


def save(study: Study, name: str, text: str) -> None:
    """Writes a finding; a folder that cannot be written is still analysed."""
    path = study.folder.analysis / name
    try:
        study.folder.write_if_changed(path, text.encode())
    except TraitscopeError as error:
        study.report_to.note(f"not saved: {error.what} ({path})")
