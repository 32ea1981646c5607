"""What is found of several base models together: one matrix, findings across them, and their report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings, cells_text
from traitscope.registry import HOMES
from traitscope.store.models import shared_name
from traitscope.study import analysis, asked, gathering, keeping
from traitscope.study.cell_source import StudyCells
from traitscope.study.context import Context, has_cells
from traitscope.study.roles import study_roles
from traitscope.study.sharing import without_places
from traitscope.texts import count_of

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.matrix import ScoreMatrix
    from traitscope.study.study import Study

# What there is of every base model by itself alone.
_OWN = {
    "stats": "dataset statistics stand",
    "explanation": "what explains the gains stands",
    "layers": "the layers stand",
    "causal": "causal checks stand",
}
# By name of the base model.
Parts = Mapping[str, "Study"]


def filled(parts: Parts) -> dict[str, Study]:
    """Those base models that have cells."""
    return {name: part for name, part in parts.items() if has_cells(part)}


def score_table(parts: Parts) -> pd.DataFrame:
    """All scores, long, with a column ``base``."""
    import pandas as pd

    tables = [part.score_table().assign(base=name) for name, part in filled(parts).items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["base", "model", "task"])


def scores(study: Any, parts: Parts, *, records: bool) -> ScoreMatrix:
    """One score matrix of all base models that have cells.

    Raises:
        TraitscopeError: none has any.
    """
    from traitscope.matrix import ScoreMatrix

    table = study.score_table()
    if table.empty:
        raise study.nothing()
    config = study.config
    tags = {name: dict(task.tags) for name, task in config.tasks.items()}
    matrix = ScoreMatrix.from_long(
        table.assign(status="measured"), tags=tags, roles=study_roles(config), where=str(study.folder.root)
    )
    if (run_sd := config.run_sd) is not None:
        matrix = matrix.with_run_sd({t: run_sd[t] for t in matrix.tasks} if isinstance(run_sd, dict) else run_sd)
    if not records:
        return matrix
    several = len(set(matrix.rows["base"])) > 1
    series: dict[str, dict[str, pd.Series]] = {task: {} for task in matrix.tasks}
    for name, part in filled(parts).items():
        for task, cells in analysis.record_series(part).items():
            series[task] |= {f"{name}/{model}" if several else model: values for model, values in cells.items()}
    return matrix.with_records({task: found for task, cells in series.items() if (found := _aligned(cells))})


def _aligned(cells: Mapping[str, pd.Series]) -> dict[str, Any]:
    """Values over the examples that all rows have; nothing where these are too few for an error."""
    from traitscope.matrix import align_records

    try:
        found = align_records(cells)
    except TraitscopeError:
        return {}
    return found if found and len(next(iter(found.values()))) > 1 else {}


def gather(study: Any, parts: Parts) -> Findings:
    """The findings of all base models together; what cannot be made is said.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    shown = outline(study, parts, records=True)
    makers: dict[str, Callable[[], Any]] = {
        "traits": study.traits,
        "effects": study.effects,
        "across": study.across,
    }
    found, missing = dict[str, Any](), dict[str, str]()
    for name, make in makers.items():
        try:
            found[name] = make()
        except TraitscopeError as error:
            missing[name] = error.what
    missing |= {name: f"{what} in each base model's own report" for name, what in _OWN.items()}
    asked_for = "what was asked of one base model stands in its own report"
    missing |= dict.fromkeys(("forecast", "evaluation", "belt"), asked_for)
    reports = {name: f"bases/{name}/report.html" for name in filled(parts)}
    return replace(shown, **found, missing=missing, reports=reports)


def outline(study: Any, parts: Parts, *, records: bool = False) -> Findings:
    """What is known at a glance: one matrix of all base models, facts, study file, warnings; no finding is made.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    matrix = study.scores(records=records)
    warnings = []
    for name, part in parts.items():
        warnings += [f"{name}: {warning}" for warning in gathering.warnings(part)] if has_cells(part) else []
    lacking = [name for name, part in parts.items() if not has_cells(part)]
    if lacking:
        warnings.append(f"Not evaluated yet, and not among what is shown: {', '.join(lacking)}.")
    locks = {name: part.folder.read_lock() for name, part in parts.items()}
    return Findings(
        name=study.config.study,
        scores=matrix,
        cells=StudyCells(filled(parts)),
        spent=tuple(one for name, part in filled(parts).items() for one in asked.spent(part, f"{name}/")),
        facts=tuple(_facts(study, parts, matrix)),
        config=_text(study),
        lock={name: lock for name, lock in locks.items() if lock is not None},
        warnings=tuple(warnings),
        left_out=_cells(parts, gathering.left_out),
        damaged=_cells(parts, gathering.damaged),
    )


def _cells(parts: Parts, of: Callable[[Any], tuple[tuple[str, str], ...]]) -> tuple[tuple[str, str], ...]:
    """Some cells of every base model, their rows named by it."""
    return tuple((f"{name}/{model}", task) for name, part in filled(parts).items() for model, task in of(part))


def _text(study: Context) -> str:
    text = study.folder.study_file.read_text(encoding="utf-8", errors="replace") if study.folder.exists() else ""
    return without_places(text, study.recorded_config(), study.config)


def _facts(study: Context, parts: Parts, matrix: ScoreMatrix) -> list[tuple[str, str]]:
    config = study.config
    facts = [("Base models", count_of(len(parts), "base model"))]
    for name, part in parts.items():
        base = part.folder.read_lock() or {}
        entry = base.get("base", {})
        named = [shared_name(part.config.base.model), *(str(entry[k]) for k in ("revision", "dtype") if entry.get(k))]
        recipe, first = part.config.recipe, config.recipe
        changed = [
            f"{key} {value}"
            for key, value in recipe.model_dump(mode="json").items()
            if value != first.model_dump(mode="json")[key]
        ]
        told = ", ".join(named) + (f"; recipe: {', '.join(changed)}" if changed else "")
        facts.append((name, f"{told}; its report: bases/{name}/report.html" if has_cells(part) else told))
    facts.append(("Tasks", f"{len(config.tasks)} ({len(config.target_names())} evaluated)"))
    facts.append(("Cells", cells_text(matrix)))
    return facts


def report(study: Any, parts: Parts, figures: Sequence[str] = ("svg",)) -> Path:
    """The report of all base models; what was written from the same cells and study file is left as it is."""
    from traitscope.report import check_formats, report_files, write_report

    formats = check_formats(figures)
    page = study.folder.root / "report.html"
    if not study.whole:
        raise TraitscopeError(
            "a report is of one base model, or of all", where="--base", fix="name one, or leave the option out"
        )
    shown = {
        "study": _text(study),
        "locks": [part.folder.read_lock() for part in parts.values()],
        "warnings": [list(gathering.warnings(part)) for part in parts.values() if has_cells(part)],
        "figures": formats,
    }

    def read() -> Path:
        if not page.is_file():
            raise FileNotFoundError(page)
        return page

    return keeping.kept(
        study,
        "report",
        shown,
        lambda: write_report(gather(study, parts), study.folder.root, formats),
        lambda made: keeping.hashes_of(report_files(made)),
        read,
        tuple(HOMES),
    )
