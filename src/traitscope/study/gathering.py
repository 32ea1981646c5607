"""All findings of a study in one object, and the report that is written from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from traitscope.config.recipe import RecipeConfig
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings, cells_text
from traitscope.matrix import ScoreMatrix
from traitscope.registry import HOMES
from traitscope.store.files import read_file
from traitscope.store.models import shared_name
from traitscope.study import analysis, asked, capturing, keeping
from traitscope.study.cell_source import StudyCells
from traitscope.study.context import Context
from traitscope.study.hidden import hidden_marks
from traitscope.study.sharing import without_places
from traitscope.study.state import MOST, OTHERWISE
from traitscope.texts import count_of


def gather(study: Context, *, load: bool = True) -> Findings:
    """All findings of a filled folder, each made only if the cells changed; what cannot be made is said.

    Args:
        load: the model may be loaded, where the layers were not analysed yet.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    shown = outline(study, records=not analysis.part_looked_at(study).note)
    parts: dict[str, Callable[[Context], Any]] = {
        "stats": analysis.dataset_statistics,
        "traits": analysis.traits,
        "effects": analysis.effects,
        "explanation": analysis.explanation,
        "layers": partial(capturing.study_layers, load=load),
    }
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, make in parts.items():
        if name == "layers" and study.config.layers is None:
            missing[name] = "the study file has no layers"
            continue
        study.report_to.stage(f"findings: {name}")
        try:
            found[name] = make(study)
        except TraitscopeError as error:
            missing[name] = error.what
    layers = found.pop("layers", None)
    if layers is not None:
        found |= layers._asdict()
        if found["causal"] is None and not (study.config.layers and study.config.layers.causal):
            missing["causal"] = "the study file asks for none (causal: in its layers)"
    known = (study.config, study.recorded_config())
    return replace(shown, **found, missing={name: without_places(why, *known) for name, why in missing.items()})


def outline(study: Context, *, records: bool = False) -> Findings:
    """What is known of a folder at a glance: scores, facts, study file, warnings; no finding is made.

    Args:
        records: the matrix holds every example's value.

    Raises:
        TraitscopeError: no cell is there yet.
    """
    scores = analysis.scores(study, records=records)
    lock, known = study.folder.read_lock(), (study.config, study.recorded_config())
    return Findings(
        name=study.config.study,
        scores=scores,
        **asked.findings(study),
        cells=StudyCells({"": study}),
        spent=asked.spent(study),
        facts=tuple(_facts(study, scores, lock)),
        config=_shown_config(study) if study.folder.exists() else None,
        lock=lock,
        warnings=tuple(without_places(line, *known) for line in warnings(study)),
        left_out=left_out(study),
        damaged=damaged(study),
    )


def report(study: Context, figures: Sequence[str] = ("svg",)) -> Path:
    """The report of all findings, written unless nothing it shows has changed; ``figures``: formats of their files."""
    from traitscope.report import check_formats, report_files, write_report

    formats = check_formats(figures)

    page = study.folder.root / "report.html"
    if not study.folder.exists():
        raise TraitscopeError(
            "nothing has been trained or evaluated yet", where=str(study.folder.root), fix="traitscope run fills it"
        )
    shown = {
        "study": _study_text(study),
        "lock": study.folder.read_lock(),
        "hidden": hidden_marks(study.folder),
        "warnings": list(warnings(study)),
        "figures": formats,
        "asked": asked.marks(study),
    }

    def read() -> Path:
        if not page.is_file():
            raise FileNotFoundError(page)
        return page

    def make() -> Path:
        return write_report(gather(study), study.folder.root, formats)

    def write(made: Path) -> dict[Path, str]:
        return keeping.hashes_of(report_files(made))

    return keeping.kept(study, "report", shown, make, write, read, tuple(HOMES))


def _shown_config(study: Context) -> str:
    return without_places(_study_text(study), study.recorded_config(), study.config)


def _study_text(study: Context) -> str:
    try:
        return read_file(study.folder.study_file).decode(errors="replace")
    except FileNotFoundError:
        return ""


def warnings(study: Context) -> Iterator[str]:
    """What is shown and is not what the study file says now."""
    if changes := study.changes_since_run():
        shown = "; ".join(changes[:MOST]) + (f"; and {len(changes) - MOST} more" if len(changes) > MOST else "")
        yield f"The study file was changed since this folder was filled; what is shown was made before: {shown}."
    present = study.present()
    for units, then in (
        (present.changed, f"With them traitscope run refuses the folder: {OTHERWISE}"),
        (present.left_out.keys() - present.changed, "The next traitscope run makes them anew"),
    ):
        if units:
            counted = count_of(len(units), "cell")
            yield f"{counted} left out of every finding: {present.summary(units)}. {then}."
    for task, known in ((study.folder.read_lock() or {}).get("tasks", {})).items():
        fault = study.folder.checked.fault(study.folder.task_path(task), known.get("sha256", ""))
        if fault is not None:
            yield f"tasks/{task}.parquet {fault}: its examples cannot be shown. The next traitscope run writes it."


def left_out(study: Context) -> tuple[tuple[str, str], ...]:
    """Cells (model, task) that are there and bear no finding, as they are not of today's study."""
    present = study.present()
    return _cells(unit for unit in present.left_out if unit not in present.damaged)


def damaged(study: Context) -> tuple[tuple[str, str], ...]:
    """Cells (model, task) that are there and bear no finding, as they are not as they were written."""
    present = study.present()
    return _cells(unit for unit in present.left_out if unit in present.damaged)


def _cells(units: Iterable[str]) -> tuple[tuple[str, str], ...]:
    split = (unit.split("/") for unit in units)
    return tuple((parts[1], parts[2]) for parts in split if len(parts) == 3)


def _overlong(study: Context) -> Iterator[str]:
    """What the cells say of rows that were too long for their models."""
    words = {
        "cut": "prompts of evaluation rows cut in the middle",
        "dropped": "evaluation rows left out for every model",
    }
    cells = study.cells()
    for task in study.config.target_names():
        told: dict[str, list[str]] = {}
        for model in ("base", *study.config.models):
            if cells.get(model, task) is not None:
                for what, n in study.folder.cells.read_json(model, task)["summary"].get("overlong", {}).items():
                    told.setdefault(f"{n} {words[what]}", []).append(model)
        for says, models in told.items():
            others = [model for model in models if model != "base"]
            yield f"{task}: {says}" + (f" ({', '.join(models)})" if others and "cut" in says else "")


def _facts(study: Context, scores: ScoreMatrix, lock: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    config = study.config
    # What the folder was filled with, whatever the study file says by now.
    recipe = RecipeConfig(**(lock or {}).get("recipe", config.recipe.model_dump()))
    base = dict((lock or {}).get("base", {}))
    named = [shared_name(config.base.model)]
    for key in ("revision", "dtype"):
        if base.get(key):
            named.append(str(base[key]))
    if base.get("fingerprint"):
        named.append(f"fingerprint {str(base['fingerprint'])[:12]}")
    sources = config.resolved_sources()
    plain = [s for s in sources if s.control is None]
    seeds = sorted({seed for s in sources for seed in s.recipe.seeds})
    facts = [
        ("Base model", ", ".join(named)),
        ("Tasks", f"{len(config.tasks)} ({len(config.target_names())} evaluated)"),
        (
            "Adapters",
            f"{count_of(len(plain), 'source')}, {count_of(len(sources) - len(plain), 'control')}, "
            f"{count_of(len(config.mixes), 'mix', 'mixes')}; seeds {', '.join(map(str, seeds)) or 'none'}",
        ),
        (
            "Recipe",
            f"LoRA rank {recipe.rank}, alpha {recipe.alpha:g}, {recipe.targets}; lr {recipe.lr:g} {recipe.schedule}, "
            f"{count_of(recipe.epochs, 'epoch')}, batch {recipe.batch}, at most {recipe.max_tokens} tokens a row",
        ),
    ]
    if config.models:
        facts.append(("Further models", ", ".join(config.models)))
    facts.append(("Cells", cells_text(scores)))
    overlong = list(_overlong(study))
    if overlong:
        facts.append(("Rows that were too long", "; ".join(overlong)))
    log = study.folder.read_log()
    times = [str(line["time"])[:16].replace("T", " ") for line in log if line.get("event") in ("start", "end")]
    if times:
        facts.append(("Run", f"{times[0]} to {times[-1]} UTC"))
    if lock is not None:
        packages = dict(lock.get("packages", {}))
        shown = [f"{name} {packages[name]}" for name in ("torch", "transformers", "peft") if packages.get(name)]
        facts.append(
            ("Software", ", ".join([f"traitscope {lock.get('traitscope')}", f"Python {lock.get('python')}", *shown]))
        )
    return facts
