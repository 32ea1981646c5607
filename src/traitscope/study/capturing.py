"""The layer-by-layer account of a study: hidden states from the engine to the layer analysis, task by task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from traitscope.compute import Adapted, Capture, Evaluate, Records, States, answer
from traitscope.config import LayersConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.study import analysis, keeping
from traitscope.study.context import Context
from traitscope.study.progress import show_tokens
from traitscope.tasks.judge import summarise

if TYPE_CHECKING:
    from traitscope.layers import Acts, CausalCheck, LayersResult, SectionCurves, TaskFigures


class LayerFindings(NamedTuple):
    """The layer analysis; the causal check where it was asked for; what goes with similarity over the tasks."""

    layers: LayersResult
    causal: CausalCheck | None
    correlates: TaskFigures | None

    def render(self) -> str:
        """Plain text for the terminal."""
        parts = (self.layers, self.correlates, self.causal)
        return "\n".join(part.render() for part in parts if part is not None)

    def to_json(self) -> dict[str, Any]:
        """All of it but the tables of single tasks; NaN becomes null."""
        return {
            "layers": self.layers.to_json(),
            "causal": None if self.causal is None else self.causal.to_json(),
            "correlates": None if self.correlates is None else json.loads(self.correlates.to_json()),
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.layers.headline()}>"

    def _repr_html_(self) -> str:
        return self.layers._repr_html_()

    def section_curves(self) -> SectionCurves:
        """What `find_sections` reads: the curves of all tasks in the mix that have a control."""
        return self.layers.section_curves()


def study_layers(
    study: Context, *, mix: str | None = None, causal: bool = True, load: bool = True, **options: Any
) -> LayerFindings:
    """Captures base, mix and controls on every target and analyses them; no hidden state stays on the disk.

    Findings are kept in ``layers/`` and ``analysis/`` until a cell or an option changes. Where ``load`` is false those
    that are kept are given, and no model is loaded for others.
    """
    settings = study.config.layers or LayersConfig()
    rows = _Rows(study, _mix_name(study, mix))
    marks = [head.fingerprint for head in study.folder.adapters() if head.name in rows.adapters]
    asked = {"mix": rows.mix, "causal": causal, "settings": settings, "adapters": marks, **options}
    folder = study.folder

    def write(found: LayerFindings) -> dict[Path, str]:
        folder.prepare()
        files = keeping.hashes_of(found.layers.save(folder.root))
        if found.causal is not None:
            text = json.dumps(found.causal.to_json(), indent=1, allow_nan=False)
            files |= keeping.save(study, "causal.json", text.encode())
        if found.correlates is not None:
            files |= keeping.save(study, "correlates.json", (found.correlates.to_json() + "\n").encode())
        return files

    def read() -> LayerFindings:
        from traitscope.layers import LayersResult, TaskFigures

        path = folder.analysis / "causal.json"
        check = _read_causal(json.loads(path.read_bytes())) if causal and settings.causal else None
        layers = LayersResult.load(folder.root)
        correlates = None
        if _has_curves(layers):
            correlates = TaskFigures.from_json((folder.analysis / "correlates.json").read_text(encoding="utf-8"))
        return LayerFindings(layers, check, correlates)

    def make() -> LayerFindings:
        if not load:
            raise TraitscopeError("they need the model (traitscope layers, or traitscope report, makes them)")
        return _analyse(study, rows, settings, causal, options)

    return keeping.kept(study, "layers", asked, make, write, read, ("measure",), lasting=True)


def _analyse(
    study: Context, rows: _Rows, settings: LayersConfig, causal: bool, options: dict[str, Any]
) -> LayerFindings:
    from traitscope.layers import DEFAULT_MEASURES, analyse_layers

    n = min(settings.examples, *(study.data.n_eval(task) for task in rows.tasks))
    if n < settings.examples:
        study.report_to.note(f"layers: {n} examples per task, since the smallest task has no more")

    def provider(task: str, models: Sequence[str]) -> Mapping[str, Acts]:
        at = rows.tasks.index(task) + 1
        study.report_to.stage(f"hidden states of task {at} of {len(rows.tasks)}, {n} examples")
        return _capture(study, task, models, n, settings.position)

    found = analyse_layers(
        provider,
        rows.tasks,
        controls=rows.controls,
        seconds=rows.seconds,
        examples=n,
        base="base",
        mix=rows.mix,
        clusters=rows.clusters,
        unseen=rows.unseen,
        **{"measures": tuple(dict.fromkeys((*DEFAULT_MEASURES, *settings.measures))), **options},
    )
    check = _causal(study, rows, found, settings.causal) if causal and settings.causal else None
    return LayerFindings(found, check, _correlates(study, rows, found) if _has_curves(found) else None)


def _has_curves(found: LayersResult) -> bool:
    """Whether a task in the mix has a control to compare it with."""
    return any(task in found.meta["controls"] and task not in found.meta["unseen"] for task in found.tasks)


def _correlates(study: Context, rows: _Rows, found: LayersResult) -> TaskFigures:
    """Similarity against readability, training rows and the mix's gain of every task; and against the traits."""
    from traitscope.layers import task_figures

    study.report_to.stage("what goes with the layers")
    notes: list[str] = []
    figures: dict[str, dict[str, float]] = {}
    try:
        stats = analysis.dataset_statistics(study).frame
    except TraitscopeError as error:
        notes.append(f"no dataset statistics: {error.what}")
    else:
        names = {task: name for task, name in rows.sources.items() if name in stats.index}
        for label, column in (("readability", "prompt_flesch_kincaid"), ("rows", "n_examples")):
            known = stats[column].astype(float).to_dict()
            figures[label] = {task: float(known[name]) for task, name in names.items()}
    gains = analysis.scores(study, records=True).gains()
    if rows.mix in gains.models:
        row = gains.models.index(rows.mix)
        figures["gain"] = {task: float(value) for task, value in zip(gains.tasks, gains.values_IN[row], strict=True)}
    loadings = None
    try:
        traits = analysis.traits(study)
    except TraitscopeError as error:
        notes.append(f"no traits: {error.what}")
    else:
        if any(traits.above_null_K):
            loadings = traits.loadings.loc[list(traits.above_null_K)]
        else:
            notes.append("no trait is above the noise")
    return task_figures(found, figures, loadings, notes=notes)


def _read_causal(data: dict[str, Any]) -> CausalCheck:
    from traitscope.layers import CausalCheck, WindowEffect

    windows = tuple(WindowEffect(**{**window, "lost_N": tuple(window["lost_N"])}) for window in data["windows"])
    numbers = {name: float("nan") if data[name] is None else data[name] for name in ("correlation", "p")}
    return CausalCheck(**{**data, **numbers, "windows": windows, "tasks": tuple(data["tasks"])})


class _Rows:
    """Which models stand for what: the mix, each task's control and its second seed, tasks the mix never saw."""

    def __init__(self, study: Context, mix: str) -> None:
        config = study.config
        seeds = config.recipe.changed(config.mixes[mix].change).seeds
        self.mix = f"{mix}-s{seeds[0]}"
        self.tasks = config.target_names()
        self.controls: dict[str, str] = {}
        self.seconds: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        for source in config.resolved_sources():
            if source.control is None and source.task in self.tasks and source.task not in self.controls:
                first, *more = source.recipe.seeds
                self.controls[source.task] = f"{source.name}-s{first}"
                self.sources[source.task] = source.name
                if more:
                    self.seconds[source.task] = f"{source.name}-s{more[0]}"
        tags = {task: config.tasks[task].tags.get("cluster") for task in self.tasks}
        self.clusters = {task: tag for task, tag in tags.items() if tag is not None}
        trained = {part.task for part in config.mix_sources(mix)}
        self.unseen = tuple(task for task in self.tasks if task not in trained)
        self.adapters = {self.mix, *self.controls.values(), *self.seconds.values()}
        for name in sorted(self.adapters):
            if study.folder.adapter(name) is None:
                raise TraitscopeError(
                    f"the adapter {name} is not trained yet", where=str(study.folder.root), fix="run `traitscope run`"
                )


def _mix_name(study: Context, mix: str | None) -> str:
    mixes = study.config.mixes
    if not mixes:
        raise TraitscopeError(
            "the layer analysis compares base, single-task adapters and a mix, and this study has no mix",
            where=study.config.where("mixes"),
            fix="add mixes: {all: {of: sources}}",
        )
    if mix is not None and mix not in mixes:
        from traitscope.registry import did_you_mean

        raise TraitscopeError(f"there is no mix {mix!r}", fix=did_you_mean(mix, mixes))
    return mix or next(iter(mixes))


def _folder(study: Context, model: str) -> Path | None:
    return None if model == "base" else study.folder.adapter_path(model)


def _capture(
    study: Context, task: str, models: Sequence[str], n: int, position: Literal["last", "mean"]
) -> Mapping[str, Acts]:
    from traitscope.layers import Acts

    examples = study.data.load(task).eval[:n]
    order = Capture(
        key=f"states of {task}",
        model=study.loaded_base().source(),
        models={model: Adapted(path=_folder(study, model)) for model in models},
        task=study.data.tasks[task],
        examples=examples,
        position=position,
    )
    states = answer(study.backend, order, partial(show_tokens, study.report_to))
    assert isinstance(states, States)
    ids = tuple(example.id for example in examples)
    return {model: Acts(ids, acts_LSD) for model, acts_LSD in states.acts.items()}


def _causal(study: Context, rows: _Rows, found: LayersResult, n: int) -> CausalCheck:
    """Every task's own adapter switched off, and kept only, in windows of layers, on the first ``n`` examples."""
    from traitscope.layers import causal_check, sliding_windows

    windows = sliding_windows(int(found.meta["n_layers"]))
    tasks = [task for task in rows.tasks if task in rows.controls]
    off_NW = np.full((len(tasks), len(windows)), np.nan)
    only_NW, full_N, base_N = off_NW.copy(), np.full(len(tasks), np.nan), np.full(len(tasks), np.nan)
    better = []
    source = study.loaded_base().source()
    plan = study.backend.plan_scoring(source)
    for i, task in enumerate(tasks):
        study.report_to.stage(f"adapters off and on in {len(windows)} windows of layers, task {i + 1} of {len(tasks)}")
        examples = study.data.load(task).eval[:n]
        path = study.folder.adapter_path(rows.controls[task])
        gated: dict[str, Adapted] = {}
        for first, last in windows:
            window = (first - 1, last - 1)
            gated[f"off {first}-{last}"] = Adapted(path=path, window=window)
            gated[f"only {first}-{last}"] = Adapted(path=path, window=window, inside=True)
        order = Evaluate(
            key=f"windows on {task}",
            model=source,
            models=gated,
            task=study.data.tasks[task],
            examples=examples,
            plan=plan,
            allow_code=study.allow_code,
        )
        made = answer(study.backend, order, partial(show_tokens, study.report_to))
        assert isinstance(made, Records)
        values = {
            name: summarise(study.data.tasks[task], records, examples)[0][0] for name, records in made.records.items()
        }
        for w, (first, last) in enumerate(windows):
            off_NW[i, w] = values[f"off {first}-{last}"].value
            only_NW[i, w] = values[f"only {first}-{last}"].value
        full_N[i] = _primary(study, rows.controls[task], task, examples)
        base_N[i] = _primary(study, "base", task, examples)
        better.append(next(iter(values.values())).higher_is_better)
    sections = found.sections.get("all tasks")
    return causal_check(
        tasks,
        windows,
        full_N=full_N,
        base_N=base_N,
        off_NW=off_NW,
        only_NW=only_NW,
        sections=sections,
        higher_is_better=better,
    )


def _primary(study: Context, model: str, task: str, examples: Sequence[Example]) -> float:
    """A model's primary score on the first rows of a task, the rows that the windows were tried on."""
    records = study.folder.cells.read_records(model, task)[: len(examples)]
    return float(summarise(study.data.tasks[task], records, examples)[0][0].value)
