"""From a filled folder to findings: every result is written to ``analysis/`` as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.store import fingerprint
from traitscope.store.models import base_identity, locked
from traitscope.store.reading import load_tokenizer
from traitscope.store.tables import read_losses
from traitscope.study import keeping
from traitscope.study.context import Context
from traitscope.study.hidden import hidden_inputs, hidden_marks, read_hidden
from traitscope.study.roles import study_roles, with_told_sources
from traitscope.study.units import adapter_names
from traitscope.ticks import ticks

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from traitscope.effects import Effects, Explanation
    from traitscope.matrix import MatrixPart, ScoreMatrix
    from traitscope.stats import DatasetStats
    from traitscope.traits import Traits


# So many datasets are all held beside each other; the pairs of more would take minutes.
MOST_DATASETS = 200
# What plugins may add that dataset statistics are made with.
DATA_KINDS = ("statistic", "file format", "control")


def scores(study: Context, *, records: bool = False) -> ScoreMatrix:
    """The score matrix of the committed cells.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    return study.seen(f"scores {records}", lambda: _scores(study, records))


def scores_of(study: Context, part: MatrixPart) -> ScoreMatrix:
    """The score matrix of some models and tasks, with records."""
    everything = scores(study)
    if len(part.models) * len(part.tasks) >= everything.scores_IN.size:
        return scores(study, records=True)
    return study.seen(f"scores of {part}", lambda: _scores(study, True, part))


def _scores(study: Context, records: bool, part: MatrixPart | None = None) -> ScoreMatrix:
    from traitscope.matrix import ScoreMatrix, align_records

    table = study.score_table()
    if table.empty:
        raise TraitscopeError(
            "no cell has been evaluated yet", where=str(study.folder.root), fix="traitscope run fills it"
        )
    if part is not None:
        table = table[table["model"].isin(part.models) & table["task"].isin(part.tasks)]
    table = with_told_sources(table, study.config).assign(base=study.base_name, status="measured")
    tags = {name: dict(task.tags) for name, task in study.config.tasks.items()}
    matrix = ScoreMatrix.from_long(
        table, tags=tags, roles=study_roles(study.config), where=str(study.folder.root / "cells")
    )
    if (run_sd := study.config.run_sd) is not None:
        known = {task: run_sd[task] for task in matrix.tasks} if isinstance(run_sd, dict) else run_sd
        matrix = matrix.with_run_sd(known)
    if not records:
        return matrix
    series = record_series(study, table["model"].unique().tolist(), matrix.tasks)
    # One example bears no paired error: its task has scores alone.
    found = {task: cells for task, cells in series.items() if cells and min(map(len, cells.values())) > 1}
    return matrix.with_records({task: align_records(cells) for task, cells in found.items()})


def record_series(
    study: Context, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None
) -> dict[str, dict[str, pd.Series]]:
    """The primary metric of every example by its id: task -> model -> values; by default of all that there are."""
    table = study.score_table()
    rows = table["model"].unique().tolist() if models is None else list(models)
    columns = table["task"].unique().tolist() if tasks is None else list(tasks)
    series: dict[str, dict[str, pd.Series]] = {task: {} for task in columns}
    for model in ticks(rows, "records of the cells", len(rows), "models"):
        for task, values in _values(study, str(model)):
            if task in series:
                series[task][str(model)] = values
    return series


def _values(study: Context, model: str) -> Iterator[tuple[str, pd.Series]]:
    """The primary metric of every example by id, task by task; none of tasks whose examples have none (the loss form).

    Only the two columns of a model's records that are needed are looked at.
    """
    import numpy as np
    import pandas as pd

    marks = study.seen("marks", lambda: study.cells().marks())[model]
    for task, records in study.folder.cells.gather(model, marks).items():
        correct_S = records.column("correct").to_numpy(zero_copy_only=False).astype(float)
        if not np.isnan(correct_S).all():
            # A list that is the same for all models becomes an index once.
            ids = tuple(records.column("id").to_pylist())
            index = study.seen(f"ids {task} {hash(ids)}", lambda ids=ids: pd.Index(ids))  # type: ignore[misc]
            yield task, pd.Series(correct_S, index=index)


def traits(study: Context, **options: Any) -> Traits:
    """Traits of the study's matrix, kept in ``analysis/traits.json``."""
    from traitscope.traits import TraitOptions, Traits, fit_traits

    def make() -> Traits:
        return fit_traits(scores(study, records=True), **options)

    found: Traits = keeping.kept_json(study, "traits", keeping.with_defaults(TraitOptions, options), make, Traits)
    return found


# Records of all cells together that are held in memory; of more each cell is read when its turn comes.
MOST_HELD = 5_000_000


class _NoTokenizer(Exception):
    """The base is not at hand."""


def part_looked_at(
    study: Context, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None
) -> MatrixPart:
    """What is looked at cell by cell: all of a study, unless it is large (``matrix.looked_at``)."""
    from traitscope.matrix import looked_at

    return study.seen(f"part {models} {tasks}", lambda: looked_at(scores(study), models, tasks))


def compared_datasets(study: Context, part: MatrixPart | None = None) -> dict[str, str]:
    """The datasets that are held beside each other, name -> task: of a large study those of a part.

    Args:
        part: whose sources and tasks; by default what is looked at cell by cell.
    """
    from traitscope.matrix.part import spread_evenly

    every = study.data.datasets()
    if len(every) <= MOST_DATASETS:
        return every
    if part is None and study.score_table().empty:
        return {name: every[name] for name in spread_evenly(list(every), MOST_DATASETS)}
    part = part or part_looked_at(study)
    sources = {source for name, (source, _) in adapter_names(study.config).items() if name in part.models}
    return {name: task for name, task in every.items() if name in sources or name in part.tasks}


def dataset_statistics(study: Context, part: MatrixPart | None = None, **options: Any) -> DatasetStats:
    """Statistics of every source's train rows (controls included) and of the eval rows of the other tasks.

    Kept in ``analysis/stats.json``; of large studies those of a part (see ``compared_datasets``). Lengths in tokens are
    counted by the base's tokenizer. Hidden states are those that the folder holds; none are captured here.
    """
    from traitscope.stats import DatasetStats, DatasetText, dataset_stats

    config, compared = study.config, compared_datasets(study, part)

    def make(tokenizer: Callable[[str], list[int]] | None) -> DatasetStats:
        trained = {source.name for source in config.resolved_sources() if source.control is None}
        states = _hidden_states(study)
        found = []
        for name, task in compared.items():
            loss_S = _base_losses(study, task) if name in trained else None
            rows = study.data.text(name)
            found.append(DatasetText.from_examples(name, rows, answer_loss_S=loss_S, hidden_SD=states.get(name)))
        return dataset_stats(found, tokenizer, **options)

    def make_with_tokens() -> DatasetStats:
        try:
            tokenizer = load_tokenizer(study.pinned("base"))
        except TraitscopeError as error:
            raise _NoTokenizer(str(error)) from error
        return make(lambda text: list(tokenizer.encode(text, add_special_tokens=False)))

    inputs = {**keeping.with_defaults(dataset_stats, options), "hidden": hidden_marks(study.folder)}
    if len(compared) < len(study.data.datasets()):
        inputs["datasets"] = list(compared)
    try:
        found: DatasetStats = keeping.kept_json(study, "stats", inputs, make_with_tokens, DatasetStats, DATA_KINDS)
    except _NoTokenizer as error:
        study.report_to.note(f"no lengths in tokens: {error}")
        # Another mark, so that they are made anew once the tokenizer is there.
        inputs["tokenizer"] = None
        found = keeping.kept_json(study, "stats", inputs, lambda: make(None), DatasetStats, DATA_KINDS)
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
    if study.cells().get("base", task) is None:
        return None
    return study.records("base", task)["loss"].to_numpy(dtype=float)


class CellRecords(Mapping[tuple[str, str], "pd.DataFrame"]):
    """The example records of every committed cell by (model, task), read when asked for.

    Args:
        study: whose cells.
        rows: of these cells alone, these rows, in the task's order; cells without any are left out.
    """

    def __init__(self, study: Context, rows: Mapping[tuple[str, str], slice] | None = None) -> None:
        self._study = study
        self._rows = rows
        table, index = study.score_table(), study.cells()
        keys = dict.fromkeys(zip(table["model"], table["task"], strict=True))
        if rows is not None:
            keys = {key: None for key in keys if key in rows and index.rows(*key) > (rows[key].start or 0)}
        self._keys = keys
        self._marks = index.marks() if index.total_rows <= MOST_HELD else None
        self._tables: dict[str, dict[str, Any]] = {}

    def _gathered(self, model: str, task: str) -> pd.DataFrame:
        if model not in self._tables:
            self._tables[model] = self._study.folder.cells.gather(model, self._marks[model])  # type: ignore[index]
        return self._tables[model][task].to_pandas()

    def __getitem__(self, key: tuple[str, str]) -> pd.DataFrame:
        if key not in self._keys:
            raise KeyError(key)
        found = self._study.records(*key) if self._marks is None else self._gathered(*key)
        return found if self._rows is None else found.iloc[self._rows[key]]

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


def _losses(study: Context, models: Sequence[str]) -> dict[str, list[float]]:
    """The loss of every training step, by adapter."""
    found = {}
    for name in models:
        path = study.folder.adapter_path(name) / "train.parquet"
        head = study.folder.adapter(name)
        if head is None or "train.parquet" not in head.files:
            continue
        if (what := study.folder.checked.fault(path, head.files["train.parquet"])) is not None:
            study.report_to.note(f"no losses of {name}: train.parquet {what}")
        elif losses := read_losses(path):
            found[name] = losses
    return found


def effects(study: Context, **options: Any) -> Effects:
    """Side effects of every model on every task, kept in ``analysis/effects.json``."""
    from traitscope.effects import Effects, measure_effects

    part = part_looked_at(study, options.get("models"), options.get("tasks"))
    stats = dataset_statistics(study, part)
    classes = choice_classes(study)

    def make() -> Effects:
        matrix, logs = scores_of(study, part), _losses(study, part.models)
        made = measure_effects(matrix, CellRecords(study), stats, classes=classes, training=logs, **options)
        return replace(made, notes=(part.note, *made.notes)) if part.note else made

    found: Effects = keeping.kept_json(
        study,
        "effects",
        {**keeping.with_defaults(measure_effects, options), "stats": fingerprint(stats.to_json())},
        make,
        Effects,
    )
    return found


def explanation(study: Context, *, run_sd: float | dict[str, float] | None = None, **options: Any) -> Explanation:
    """Which dataset statistics go with traits and gains, kept in ``analysis/explanation.json``."""
    from traitscope.effects import Explanation, explain

    part = part_looked_at(study)
    stats = dataset_statistics(study, part)

    def make() -> Explanation:
        return explain(traits(study, run_sd=run_sd), stats, scores_of(study, part), **options)

    inputs = {**keeping.with_defaults(explain, options), "run_sd": run_sd, "stats": fingerprint(stats.to_json())}
    found: Explanation = keeping.kept_json(study, "explanation", inputs, make, Explanation)
    return found
