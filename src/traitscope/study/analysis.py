"""From a filled folder to findings: every result is written to ``analysis/`` as it is made."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traitscope.errors import TraitscopeError
from traitscope.registry import plugin_marks
from traitscope.store import fingerprint
from traitscope.store.models import base_identity, locked
from traitscope.store.reading import load_tokenizer
from traitscope.store.tables import read_losses
from traitscope.study.context import Context
from traitscope.study.hidden import hidden_inputs, hidden_marks, read_hidden
from traitscope.study.roles import study_roles

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from traitscope.effects import Effects, Explanation
    from traitscope.matrix import ScoreMatrix
    from traitscope.stats import DatasetStats
    from traitscope.traits import Traits


T = TypeVar("T")

# What plugins may add that dataset statistics are made with.
DATA_KINDS = ("statistic", "file format", "control")


def scores(study: Context, *, records: bool = False) -> ScoreMatrix:
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
    matrix = ScoreMatrix.from_long(
        table, tags=tags, roles=study_roles(study.config), where=str(study.folder.root / "cells")
    )
    if not records:
        return matrix
    found = {}
    for task, cells in table.groupby("task", sort=False):
        values = {str(model): _values(study, str(model), str(task)) for model in cells["model"].unique()}
        series = {model: found_S for model, found_S in values.items() if found_S is not None}
        if series:
            found[str(task)] = align_records(series)
    return matrix.with_records(found)


def _values(study: Context, model: str, task: str) -> pd.Series | None:
    """The primary metric of every example, by id; None where examples have none (the loss form)."""
    frame = study.records(model, task).set_index("id")
    if frame["correct"].isna().all():
        return None
    return frame["correct"].astype(float)


def cells_mark(study: Context, *kinds: str) -> str:
    """A fingerprint of all committed cells, roles of rows, tags of tasks, this software's files and plugins' entries.

    Args:
        study: whose cells.
        kinds: of plugins' entries that take part.

    Findings made under it need not be made again. The cells' own marks hold their metrics and parsers.
    """
    heads = [[h.model, h.task, h.fingerprint, h.scoring, h.rows, h.n] for h in study.cells()]
    tags = {name: dict(task.tags) for name, task in study.config.tasks.items()}
    roles = [[name, r.kind, sorted(r.own), sorted(r.copies), r.parent] for name, r in study_roles(study.config).items()]
    rows, columns = [study.models(), roles], [study.config.target_names(), tags]
    return fingerprint([_software(), plugin_marks(kinds), rows, columns, heads])


@functools.cache
def _software() -> list[list[Any]]:
    """Name, size and time of every source file: a finding is made again after any change of the code."""
    root = Path(__file__).parents[1]
    stats = ((path, path.stat()) for path in sorted(root.rglob("*.py")))
    return [[path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def kept(
    study: Context,
    name: str,
    options: Mapping[str, Any],
    make: Callable[[], T],
    write: Callable[[T], None],
    read: Callable[[], T],
    kinds: Sequence[str] = (),
) -> T:
    """A finding as it was written, if it was made from the present cells with these options; else made now.

    What each finding was made from stands in ``analysis/inputs.json``. ``kinds`` are those of registered things that it
    is made with.
    """
    mark = fingerprint([cells_mark(study, *kinds), {key: str(value) for key, value in options.items()}])
    if _inputs(study).get(name) == mark:
        try:
            return read()
        except (OSError, ValueError, KeyError, TypeError):
            study.report_to.note(f"the kept finding {name!r} is missing or damaged: it is made again")
    found = make()
    write(found)
    marks = dict(sorted({**_inputs(study), name: mark}.items()))
    save(study, "inputs.json", json.dumps(marks, indent=1) + "\n")
    if _inputs(study).get(name) == mark:
        # As the next call will find it, rounded as it is kept; where it could not be kept, as it is.
        with suppress(OSError, ValueError, KeyError, TypeError):
            return read()
    return found


def with_defaults(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options a finding is made with, defaults included: saying a default makes no other finding."""
    parameters = inspect.signature(function).parameters.values()
    return {**{p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}, **options}


def kept_json(
    study: Context,
    name: str,
    options: Mapping[str, Any],
    make: Callable[[], Any],
    kind: Any,
    kinds: Sequence[str] = (),
) -> Any:
    """``kept`` for a result ``kind`` with ``to_json`` and ``from_json``, in ``analysis/<name>.json``."""
    path = study.folder.analysis / f"{name}.json"
    return kept(
        study,
        name,
        options,
        make,
        lambda found: save(study, path.name, found.to_json()),
        lambda: kind.from_json(path.read_text(encoding="utf-8")),
        kinds,
    )


def _inputs(study: Context) -> dict[str, str]:
    try:
        return dict(json.loads((study.folder.analysis / "inputs.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def traits(study: Context, **options: Any) -> Traits:
    """Traits of the study's matrix, kept in ``analysis/traits.json``."""
    from traitscope.traits import TraitOptions, Traits, fit_traits

    def make() -> Traits:
        return fit_traits(scores(study, records=True), **options)

    found: Traits = kept_json(study, "traits", with_defaults(TraitOptions, options), make, Traits)
    return found


class _NoTokenizer(Exception):
    """The base is not at hand."""


def dataset_statistics(study: Context, **options: Any) -> DatasetStats:
    """Statistics of every source's train rows (controls included) and of the eval rows of the other tasks.

    Kept in ``analysis/stats.json``; lengths in tokens are counted by the base's tokenizer. Hidden states are those that
    the folder holds; none are captured here.
    """
    from traitscope.stats import DatasetStats, DatasetText, dataset_stats

    config = study.config

    def make(tokenizer: Callable[[str], list[int]] | None) -> DatasetStats:
        trained = {source.name for source in config.resolved_sources() if source.control is None}
        states = _hidden_states(study)
        found = []
        for name, task in study.data.datasets().items():
            loss_S = _base_losses(study, task) if name in trained else None
            rows = study.data.text(name)
            found.append(DatasetText.from_examples(name, rows, answer_loss_S=loss_S, hidden_SD=states.get(name)))
        return dataset_stats(found, tokenizer, **options)

    def make_with_tokens() -> DatasetStats:
        try:
            tokenizer = load_tokenizer(study.asked(config.base))
        except TraitscopeError as error:
            raise _NoTokenizer(str(error)) from error
        return make(lambda text: list(tokenizer.encode(text, add_special_tokens=False)))

    inputs = {**with_defaults(dataset_stats, options), "hidden": hidden_marks(study.folder)}
    try:
        found: DatasetStats = kept_json(study, "stats", inputs, make_with_tokens, DatasetStats, DATA_KINDS)
    except _NoTokenizer as error:
        study.report_to.note(f"no lengths in tokens: {error}")
        # Another mark, so that they are made anew once the tokenizer is there.
        inputs["tokenizer"] = None
        found = kept_json(study, "stats", inputs, lambda: make(None), DatasetStats, DATA_KINDS)
    return found


def _hidden_states(study: Context) -> dict[str, NDArray[np.float32]]:
    """The base's hidden states of every dataset, as the folder holds them; none where the base is not known."""
    entry = (study.folder.read_lock() or {}).get("base")
    wanted = study.asked(study.config.base)
    try:
        base = base_identity(wanted, entry)
    except TraitscopeError:
        # The base's own files are gone: what the lock says they were is what the states were made with.
        found = locked(entry, wanted)
        return {} if found is None else read_hidden(study.folder, hidden_inputs(study.config, study.data, found))
    return read_hidden(study.folder, hidden_inputs(study.config, study.data, base)) if base.known else {}


def _base_losses(study: Context, task: str) -> NDArray[np.floating] | None:
    """The base's loss on the evaluation answers of a task, in nats per token; None where it was not evaluated."""
    if study.folder.cells.head("base", task) is None:
        return None
    return study.records("base", task)["loss"].to_numpy(dtype=float)


class CellRecords(Mapping[tuple[str, str], "pd.DataFrame"]):
    """The example records of every committed cell by (model, task), read when asked for."""

    def __init__(self, study: Context) -> None:
        self._study = study
        table = study.score_table()
        self._keys = list(dict.fromkeys(zip(table["model"], table["task"], strict=True)))

    def __getitem__(self, key: tuple[str, str]) -> pd.DataFrame:
        if key not in self:
            raise KeyError(key)
        return self._study.records(*key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def choice_classes(study: Context) -> dict[str, tuple[str, ...]]:
    """The classes of every target whose rows share them."""
    answers = {name: study.config.tasks[name].answer for name in study.config.target_names()}
    return {name: answer.classes for name, answer in answers.items() if answer.classes is not None}


def _losses(study: Context) -> dict[str, list[float]]:
    """The loss of every training step, by adapter."""
    found = {name: read_losses(study.folder.adapter_path(name) / "train.parquet") for name in study.models()}
    return {name: losses for name, losses in found.items() if losses}


def effects(study: Context, **options: Any) -> Effects:
    """Side effects of every model on every task, kept in ``analysis/effects.json``."""
    from traitscope.effects import Effects, measure_effects

    stats = dataset_statistics(study)
    classes = choice_classes(study)

    def make() -> Effects:
        matrix = scores(study, records=True)
        return measure_effects(matrix, CellRecords(study), stats, classes=classes, training=_losses(study), **options)

    found: Effects = kept_json(
        study,
        "effects",
        {**with_defaults(measure_effects, options), "stats": fingerprint(stats.to_json())},
        make,
        Effects,
    )
    return found


def explanation(study: Context, **options: Any) -> Explanation:
    """Which dataset statistics go with traits and gains, kept in ``analysis/explanation.json``."""
    from traitscope.effects import Explanation, explain

    stats = dataset_statistics(study)

    def make() -> Explanation:
        return explain(traits(study), stats, scores(study, records=True), **options)

    inputs = {**with_defaults(explain, options), "stats": fingerprint(stats.to_json())}
    found: Explanation = kept_json(study, "explanation", inputs, make, Explanation)
    return found


def save(study: Context, name: str, text: str) -> None:
    """Writes a finding; a folder that cannot be written is still analysed."""
    path = study.folder.analysis / name
    try:
        study.folder.write_if_changed(path, text.encode())
    except TraitscopeError as error:
        study.report_to.note(f"not saved: {error.what} ({path})")
