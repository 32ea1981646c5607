"""Studies, run folders and matrices held against each other: read, brought to common terms, compared pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError, check_shares
from traitscope.frames import check_chosen
from traitscope.store import differences
from traitscope.store.models import shared_name
from traitscope.study import analysis, whole
from traitscope.study.sharing import without_places
from traitscope.study.study import Study
from traitscope.texts import count_of

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.effects import Effects
    from traitscope.effects.comparison import Comparison, Pair
    from traitscope.effects.sidebyside import Side
    from traitscope.matrix import ScoreMatrix
    from traitscope.traits.congruence import Congruence

# Of two configurations: where they compute and what they are called makes no other result.
UNTOLD = {"compute", "study", "bases", "base"}
MOST_LINES = 30


def compare(
    *sources: Study | ScoreMatrix | Path | str,
    names: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
    read: Callable[[Path], ScoreMatrix] | None = None,
) -> Comparison:
    """Holds two or more studies against each other: other base models, recipes, seeds, data, versions.

    A study of several base models, and a matrix of several, counts as one for each. Every two are compared: what
    differs in their settings; their matrices cell by cell on the rows and tasks of one name, paired where the same rows
    were evaluated; how alike the gains are; which findings repeat, against chance; how alike the traits are, by
    Tucker's congruence, against chance.

    Args:
        sources: studies, matrices, study files, run folders, or matrix files.
        names: what to call them; by default by their folders and base models.
        tasks, models: these alone; models by the names of sources, and of rows that were not trained.
        alpha: level at which findings hold. level: of intervals. seed: of every random step.
        read: reads a matrix file; by default ``ScoreMatrix.read`` with nothing said of the file.

    Raises:
        TraitscopeError: fewer than two things to compare, names that are not theirs, or nothing in common; alpha or
            level not between 0 and 1.
    """
    from traitscope.effects.comparison import Comparison

    check_shares("compare", alpha=alpha, level=level)
    entries = _named([entry for source in sources for entry in _entries(source, read)], names)
    if len(entries) < 2:
        raise TraitscopeError(
            f"{count_of(len(entries), 'study', 'studies')} to compare", where="compare", fix="name two or more"
        )
    # What only some have is left out of the others; what none has is a slip.
    check_chosen(tasks, list(dict.fromkeys(task for entry in entries for task in entry.matrix.tasks)), "task")
    check_chosen(models, list(dict.fromkeys(row for entry in entries for row in entry.rows())), "model")
    for entry in entries:
        entry.keep(tasks, models)
    pairs = [_pair(one, other, alpha, level, seed) for one, other in combinations(entries, 2)]
    return Comparison(
        names=tuple(entry.name for entry in entries),
        about={entry.name: entry.about for entry in entries},
        pairs=pairs,
        settings={"alpha": alpha, "level": level, "seed": seed},
    )


@dataclass(kw_only=True)
class _Entry:
    """One thing that is compared: a study on one base model, or a matrix of one."""

    name: str
    about: str
    matrix: ScoreMatrix
    study: Study | None = None
    part: bool = False
    fitted: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def rows(self) -> Iterator[str]:
        """What its rows can be called by: their own names, and those of sources."""
        yield from (name for name in (*self.matrix.models, *self.matrix.sources_I) if isinstance(name, str))

    def keep(self, tasks: Sequence[str] | None, models: Sequence[str] | None) -> None:
        """Leaves other tasks and rows out; names that only others have are none of its."""
        chosen = [task for task in self.matrix.tasks if tasks is None or task in tasks]
        rows = [
            row
            for row, source, base in zip(
                self.matrix.models, self.matrix.sources_I, self.matrix.base_index_I.tolist(), strict=True
            )
            if models is None or row in models or source in models or self.matrix.models.index(row) == base
        ]
        if not chosen or not rows:
            what = ", ".join(tasks or ()) if not chosen else ", ".join(models or ())
            raise TraitscopeError(f"has none of {what}", where=self.name, fix="name rows and tasks that all have")
        self.part = tasks is not None or models is not None
        if self.part:
            self.matrix = self.matrix.select(tasks=chosen, models=rows)

    @cached_property
    def side(self) -> Side:
        """Its scores by source, with the values of the examples where it is a study."""
        from traitscope.effects.sidebyside import Side

        if self.study is None:
            return Side.of(self.name, self.matrix)
        series = analysis.record_series(self.study, self.matrix.models, self.matrix.tasks)
        for task in (task for task, cells in series.items() if not cells):
            # Of the loss form an example's value is its loss.
            rows_of = {model: self.study.records(model, task) for model in self._models_on(task)}
            series[task] = {model: rows.set_index("id")["loss"] for model, rows in rows_of.items()}
        rows = {task: self.study.folder.task_rows(task) for task in self.matrix.tasks}
        return Side.of(self.name, self.matrix, series, rows)

    def _models_on(self, task: str) -> list[str]:
        assert self.study is not None
        return [model for model in self.matrix.models if self.study.cells().get(model, task) is not None]

    @cached_property
    def effects(self) -> Effects:
        """Its findings."""
        from traitscope.effects import measure_effects

        return measure_effects(self.matrix) if self.study is None else self.study.effects()

    def loadings(self, tasks: Sequence[str]) -> Any:
        """The loadings of its traits, fitted on some tasks alone, each by its own deviation.

        Else the task that moves most would be the first trait of any two.
        """
        from traitscope.traits import fit_traits

        matrix, key = self.matrix, tuple(sorted(tasks))
        if key not in self.fitted:
            if self.study is not None:
                matrix = analysis.scores(self.study, records=True).select(models=matrix.models, tasks=matrix.tasks)
            self.fitted[key] = fit_traits(matrix.select(tasks=list(tasks)), scale=True).loadings
        return self.fitted[key][list(tasks)].to_numpy()


def _entries(source: Study | ScoreMatrix | Path | str, read: Callable[[Path], ScoreMatrix] | None) -> Iterator[_Entry]:
    from traitscope.matrix import ScoreMatrix
    from traitscope.matrix.tablefile import ENDINGS

    if isinstance(source, Path | str):
        path = Path(source)
        if path.suffix.lower() in ENDINGS or (path.is_file() and path.suffix.lower() not in (".yaml", ".yml")):
            matrix = (read or ScoreMatrix.read)(path)
            yield from _of_matrix(matrix, path.stem, f"matrix file {path.name}")
            return
        source = Study.open(path)
    if isinstance(source, ScoreMatrix):
        yield from _of_matrix(source, "matrix", "a score matrix")
        return
    filled = whole.filled(source.by_base())
    if not filled:
        where = str(source.folder.root)
        raise TraitscopeError("no cell has been evaluated yet", where=where, fix="traitscope run fills it")
    lacking = [name for name in source.by_base() if name not in filled]
    for name, part in filled.items():
        config = part.config
        told = (
            f"{config.study}, {shared_name(config.base.model)}; "
            f"{count_of(len(config.resolved_sources()), 'source')}, recipe {_recipe_text(part)}"
            + (f"; left out, without a cell yet: {', '.join(lacking)}" if lacking else "")
        )
        yield _Entry(name=name if source.inner else part.folder.root.name, about=told, matrix=part.scores(), study=part)


def _recipe_text(study: Study) -> str:
    recipe = study.config.recipe
    return f"rank {recipe.rank}, lr {recipe.lr:g}, seeds {', '.join(map(str, recipe.seeds))}"


def _of_matrix(matrix: ScoreMatrix, name: str, about: str) -> Iterator[_Entry]:
    bases = list(dict.fromkeys(matrix.rows["base"]))
    told = f"{about}, {matrix.headline()}"
    if len(bases) == 1:
        yield _Entry(name=name, about=told, matrix=matrix)
        return
    for base in bases:
        rows = [row for row, of in zip(matrix.models, matrix.rows["base"], strict=True) if of == base]
        yield _Entry(name=str(base), about=f"{about}, base model {base}", matrix=matrix.select(models=rows))


def _named(entries: list[_Entry], names: Sequence[str] | None) -> list[_Entry]:
    """The entries under different names.

    Raises:
        TraitscopeError: names were given, and not one of its own for each.
    """
    apart = _apart(entries)
    if names is not None:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or len(names) != len(entries):
            counts = f"{count_of(len(names), 'name')} for {count_of(len(entries), 'thing')} to compare"
            raise TraitscopeError(
                counts if twice is None else f"{twice!r} stands there twice",
                where="--names",
                fix=f"give each one of its own: {','.join(apart)}",
            )
    for entry, name in zip(entries, names or apart, strict=True):
        entry.name = name
    return entries


def _apart(entries: Sequence[_Entry]) -> list[str]:
    """A name for each; runs/x of two folders are told apart by what stands above them, others by a number."""
    found = [entry.name for entry in entries]
    places = [() if one.study is None else one.study.folder.root.absolute().parts for one in entries]
    for name in dict.fromkeys(found):
        alike = [index for index, other in enumerate(found) if other == name]
        for k in range(2, max(len(places[index]) for index in alike) + 1):
            longer = {index: "/".join(places[index][-k:]) or name for index in alike}
            if len(set(longer.values())) == len(alike) > 1:
                found = [longer.get(index, other) for index, other in enumerate(found)]
                break
    taken: list[str] = []
    for name in found:
        taken.append(next(one for one in chain([name], (f"{name}-{k}" for k in count(2))) if one not in taken))
    return taken


def _pair(one: _Entry, other: _Entry, alpha: float, level: float, seed: int) -> Pair:
    from traitscope.effects.agreement import agreement
    from traitscope.effects.comparison import Pair, repeated
    from traitscope.effects.sidebyside import side_by_side

    cells, notes = side_by_side(one.side, other.side, level)
    if cells.empty:
        raise TraitscopeError(
            f"{one.name} and {other.name} have no cell in common",
            where="compare",
            fix=f"rows and tasks must bear the same names: {_few(one)} against {_few(other)}",
        )
    repeats = None
    try:
        repeats = repeated(_within(one, cells), _within(other, cells), alpha, seed)
    except TraitscopeError as error:
        notes.append(f"findings were not compared: {error.what}")
    traits = _traits(one, other, list(dict.fromkeys(cells["task"])), seed, notes)
    return Pair(
        first=one.name,
        second=other.name,
        settings=_settings(one, other),
        cells=cells,
        gains=agreement(cells, seed=seed),
        repeats=repeats,
        traits=traits,
        notes=tuple(notes),
    )


def _few(entry: _Entry) -> str:
    scores = entry.side.scores
    rows, tasks = (
        ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") for names in (scores.models, scores.tasks)
    )
    return f"{rows} on {tasks}"


def _within(entry: _Entry, cells: pd.DataFrame) -> Effects:
    """The findings of an entry; where some tasks or rows alone are compared, those that are about these."""
    effects, rows = entry.effects, entry.effects.findings
    if entry.part:
        about = rows["source"].where(rows["source"].notna(), rows["model"])
        rows = rows[rows["task"].isin(set(cells["task"])) & about.isin(set(cells["row"]))]
    return replace(effects, findings=rows)


def _traits(one: _Entry, other: _Entry, tasks: list[str], seed: int, notes: list[str]) -> Congruence | None:
    from traitscope.traits.congruence import LEAST_TASKS, congruence

    if len(tasks) < LEAST_TASKS:
        notes.append(f"traits were not compared: {count_of(len(tasks), 'task')} in common, {LEAST_TASKS} are needed")
        return None
    try:
        return congruence(one.loadings(tasks), other.loadings(tasks), tuple(tasks), seed=seed)
    except TraitscopeError as error:
        notes.append(f"traits were not compared: {error.what}")
        return None


def _settings(one: _Entry, other: _Entry) -> tuple[str, ...] | None:
    """What differs in what the two were made from; None where one is no study."""
    if one.study is None or other.study is None:
        return None
    lines = differences(_told(one.study), _told(other.study))
    configs = (one.study.config, other.study.config)
    shown = tuple(without_places(line, *configs) for line in lines)
    rest = len(shown) - MOST_LINES
    return shown if rest <= 0 else (*shown[:MOST_LINES], f"and {rest} more")


def _told(study: Study) -> dict[str, Any]:
    """What a study was made from, by name: configuration, base, rows, software."""
    lock = study.lock
    base = lock.get("base", {})
    return {
        "base": {
            "model": shared_name(study.config.base.model),
            **{key: base.get(key) for key in ("revision", "dtype")},
            "fingerprint": str(base.get("fingerprint"))[:12],
        },
        **study.config.model_dump(mode="json", exclude=UNTOLD),
        "rows": {task: str(mark.get("eval"))[:12] for task, mark in lock.get("tasks", {}).items()},
        "results": lock.get("results", {}),
        "software": {"traitscope": lock.get("traitscope"), "python": lock.get("python"), **lock.get("packages", {})},
    }
