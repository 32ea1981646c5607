"""``Study``: a configuration and its run folder; the object a user holds."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from traitscope.compute import Backend
from traitscope.config import StudyConfig, load_config
from traitscope.config.changes import changed_text
from traitscope.config.sections import tracker_names
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.records import Example, ExampleRecord
from traitscope.store import RunFolder
from traitscope.store.models import shared_name
from traitscope.study import analysis, belting, capturing, evaluating, filling, gathering, healing
from traitscope.study.adopting import refuse_several
from traitscope.study.context import Context, looking_once
from traitscope.study.costs import layers_cost, study_cost
from traitscope.study.evidence import gather_evidence
from traitscope.study.part import Part, Shard
from traitscope.study.planning import StudyPlan
from traitscope.study.progress import Reporter
from traitscope.study.state import find_state
from traitscope.study.work import Work
from traitscope.texts import count_of, safe, table_text

if TYPE_CHECKING:
    from datasets import Dataset

    from traitscope.belt import BeltFindings
    from traitscope.effects import Effects, Explanation
    from traitscope.matrix import ScoreMatrix
    from traitscope.predict.decision import Decision
    from traitscope.predict.evidence import Evidence
    from traitscope.predict.forecast import Forecast
    from traitscope.stats import DatasetStats
    from traitscope.store.damage import Damage
    from traitscope.study.capturing import LayerFindings
    from traitscope.traits import Traits


class Study(Context):
    """A study and the folder it fills.

    Make one with ``Study.open``. Nothing is loaded or written before a method needs it; all that is committed
    is found again, so every method does only what is missing.
    """

    # The class of a study that names several base models.
    of_bases: ClassVar[type[Study]]

    @classmethod
    def open(
        cls,
        source: Path | str | StudyConfig,
        out: Path | str | None = None,
        *,
        changes: Sequence[str] = (),
        backend: Backend | None = None,
        on: str | None = None,
        report: Reporter | None = None,
        report_to: str | Sequence[str] | None = None,
        every_s: float = 60.0,
        stale_s: float = 60.0,
        allow_code: bool = False,
    ) -> Study:
        """A study from its file, from a run folder, or from a configuration built in Python.

        Args:
            source: a study file; or a run folder, which holds a copy of its study file; or a configuration. One that
                names several base models gives a ``BasesStudy``.
            out: the run folder; by default ``runs/<study>`` beside the study file.
            changes: of the study file's keys, such as ``recipe.rank=16``; the run folder's copy holds them too.
            backend: where the work runs; by default this process, or several of this machine where they pay.
            on: a Ray cluster that trains and evaluates: ``ray`` (the one of this machine), or ``ray://host:port``.
            report: whom to tell about progress; by default nobody.
            report_to: trackers in place of the study file's: none, tensorboard, wandb, trackio, or several.
            every_s: seconds between checkpoints of a training bank.
            stale_s: seconds without a sign of life after which another process's unit is taken over.
            allow_code: run the programs that models write, each in a sandbox, where tasks are judged by tests
                (``answer.generate.code``). A study file cannot say so itself.

        Raises:
            TraitscopeError: the file is missing or says something that does not hold together.
        """
        options: dict[str, Any] = {
            "backend": backend,
            "on": on,
            "report": report,
            "every_s": every_s,
            "stale_s": stale_s,
        }
        options["tracked_by"] = None if report_to is None else tracker_names(report_to)
        options["allow_code"] = allow_code
        if isinstance(source, StudyConfig):
            source = source.changed(changes)
            return cls._made(source, out or source.root / "runs" / source.study, **options)
        path = Path(source)
        if path.is_dir() and (folder := RunFolder(path)).exists():
            config = load_config(folder.study_file, _root_of(folder), changes=changes)
            text = changed_text(folder.study_file, changes) if changes else None
            return cls._made(config, out or path, text=text, **options)
        if path.is_dir():
            path = path / "study.yaml"
            if not path.exists():
                raise TraitscopeError(
                    "this folder holds no study", where=str(path.parent), fix="name a study file, or a run folder"
                )
        config = load_config(path, changes=changes)
        text = changed_text(path, changes) if changes else path.read_bytes()
        return cls._made(config, out or path.parent / "runs" / config.study, text=text, **options)

    @classmethod
    def _made(cls, config: StudyConfig, folder: Path | str, **options: Any) -> Study:
        if config.bases is not None:
            return cls.of_bases(config, folder, **options)
        refuse_several(RunFolder(Path(folder)))
        return cls(config, folder, **options)

    def __repr__(self) -> str:
        return f"<Study: {safe(self._headline(), line=True)}>"

    def _repr_html_(self) -> str:
        config = self.config
        rows = [["task", "answers", "metrics"]]
        rows += [[name, task.answer.form, ", ".join(task.metrics or ())] for name, task in config.tasks.items()]
        head = html.escape(safe(self._headline(), line=True))
        return f"<div><strong>Study</strong>: {head}<pre>{html.escape(table_text(rows, right=()))}</pre></div>"

    def _headline(self) -> str:
        config = self.config
        made = f"{count_of(len(config.resolved_sources()), 'source')}, {count_of(len(config.target_names()), 'target')}"
        base, folder = shared_name(config.base.model), shared_name(str(self.folder.root))
        return f"{config.study} on {base}, {made}, in {folder}"

    def by_base(self) -> dict[str, Study]:
        """The study on each of its base models, by name; a study of one is itself."""
        return {self.base_name: self}

    # ---- what there is to do

    def plan(self, *, cost: bool = False) -> StudyPlan:
        """What is done and what is missing.

        Args:
            cost: estimate tokens, time, memory and disk as well (reads the tokenizer, never the weights).
        """
        units = self.units()
        state = find_state(units, self.folder, self.data)
        found = study_cost(units, state, self.data) if cost and not state.complete else None
        analysed = (self.folder.analysis / "layers.json").is_file()
        layers = layers_cost(units, self.data) if cost and not analysed else None
        counts = len(units.adapters), len(units.cells)
        return StudyPlan(self.config.study, self.folder.root, *counts, state, found, layers)

    # ---- doing it

    def run(
        self,
        *,
        replace: bool = False,
        stop: Callable[[], bool] | None = None,
        tasks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        limit: int | None = None,
        shard: str | None = None,
    ) -> Work | None:
        """Trains and evaluates all that is missing, and captures hidden states of the datasets; None if nothing was.

        Several processes may run the same study in the same folder; each unit is done once.

        Args:
            replace: put units that were made under other settings aside (in ``replaced/``), make them anew.
            stop: asked between units and after every training step; when true, the work is saved and stops.
            tasks, models, limit: a part, which later calls complete: some targets; some rows, or sources for all their
                seeds; so many rows of every target at most. Hidden states belong to the whole.
            shard: ``1/8`` to ``8/8``: an eighth of it, that needs no result of the others (``part.Shard``).

        Raises:
            TraitscopeError: the study was changed under the folder, a unit cannot be made, or there is no such name.
            Stopped: ``stop`` said so.
        """
        part = partial(Part.chosen, tasks=tasks, models=models, limit=limit)
        share = None if shard is None else Shard.read(shard)
        return filling.fill(self, train=True, evaluate=True, replace=replace, stop=stop, part=part, shard=share)

    def decide(self, budget: float, *, margin: float = 0.01, stop: Callable[[], bool] | None = None) -> Decision:
        """The best source of every target for a share of the whole grid's cost, into ``analysis/decision.json``.

        All sources are trained for an eighth of their steps (in ``probes/``), then those in full that may be a target's
        best; rows are added where two are close. What was made is kept: ``run`` makes the rest.

        Args:
            budget: share of what training every source and evaluating it on every target costs, 0..1.
            margin: a difference of scores that does not matter, in the metric's own unit.
            stop: as in ``run``.

        Raises:
            TraitscopeError: one source alone, or a budget that bears not even the short trainings.
            Stopped: ``stop`` said so; the same call goes on.
        """
        from traitscope.study.budget import Budgeted

        budgeted = Budgeted(self, budget, margin)
        with budgeted.together(stop):
            budgeted.run(stop)
            return budgeted.finish(stop)

    def train(
        self,
        *,
        replace: bool = False,
        stop: Callable[[], bool] | None = None,
        models: Sequence[str] | None = None,
        shard: str | None = None,
    ) -> Work | None:
        """Trains the missing adapters. Arguments and errors as in ``run``."""
        part = partial(Part.chosen, models=models)
        share = None if shard is None else Shard.read(shard)
        return filling.fill(self, train=True, evaluate=False, replace=replace, stop=stop, part=part, shard=share)

    def evaluate(
        self,
        *,
        replace: bool = False,
        stop: Callable[[], bool] | None = None,
        tasks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        limit: int | None = None,
        shard: str | None = None,
    ) -> Work | None:
        """Evaluates every model whose weights are there, and captures hidden states.

        Arguments and errors as in ``run``.
        """
        part = partial(Part.chosen, tasks=tasks, models=models, limit=limit)
        share = None if shard is None else Shard.read(shard)
        return filling.fill(self, train=False, evaluate=True, replace=replace, stop=stop, part=part, shard=share)

    def rescore(self, *, stop: Callable[[], bool] | None = None) -> Work | None:
        """Judges all committed cells anew from their records: parser and metrics, no model.

        Raises:
            TraitscopeError: a cell was made from other rows or under other settings.
        """
        with filling.open_work(self, self.units(), False, stop) as work:
            evaluating.rescore(work, everything=True)
            return work

    # ---- what there is

    def verify(self) -> list[Damage]:
        """Reads all of the run folder and names every file that is not what was written.

        A run puts such files under ``quarantine/`` and makes them anew.
        """
        return healing.verify(self.folder)

    def read_records(self, model: str, task: str) -> list[ExampleRecord]:
        """The records of a cell as objects (``records`` gives them as a table)."""
        return self.folder.cells.read_records(model, task)

    def examples(self, task: str) -> dict[str, list[Example]]:
        """The rendered rows of a task by split, as the folder holds them."""
        return self.folder.read_task(task)

    @looking_once
    def frame(
        self,
        table: str = "scores",
        *,
        tasks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        backend: str = "pandas",
    ) -> Any:
        """A table of the filled folder as a pandas or polars frame; results have ``to_pandas`` and ``to_polars``.

        Args:
            table: ``scores`` (one row per cell and metric), ``records`` (per cell and example), ``findings`` (of
                ``effects``), ``examples`` (the tasks' rendered rows) or ``training`` (every optimiser step). Of several
                base models it has a column ``base`` and the rows of those that have cells.
            tasks, models: some of them, rows as ``models()`` names them; by default all.
            backend: ``pandas`` or ``polars``.

        Raises:
            TraitscopeError: there is no such name, nothing was evaluated yet, or polars is not installed.
        """
        from traitscope.study.tables import study_frame

        return study_frame(self, table, tasks=tasks, models=models, backend=backend)

    @looking_once
    def to_dataset(
        self, table: str = "records", *, tasks: Sequence[str] | None = None, models: Sequence[str] | None = None
    ) -> Dataset:
        """A table as a ``datasets.Dataset`` with typed features. Arguments and errors as in ``frame``.

        More than a million records lie in a temporary file for as long as the process lasts, not in memory.
        """
        from traitscope.study.tables import study_dataset

        return study_dataset(self, table, tasks=tasks, models=models)

    # ---- findings

    @looking_once
    def scores(self, *, records: bool = False) -> ScoreMatrix:
        """The score matrix, models x tasks, with standard errors.

        Args:
            records: add every example's value, for paired errors and bootstraps.
        """
        return analysis.scores(self, records=records)

    @looking_once
    def dataset_stats(self, **options: Any) -> DatasetStats:
        """Statistics of every task's rows, from their text (options of ``stats.dataset_stats``).

        Semantic similarity is by the base's hidden states, which ``run`` and ``evaluate`` leave in the folder, and by
        TF-IDF where they are missing. No model is loaded.
        """
        return analysis.dataset_statistics(self, **options)

    @looking_once
    def forecast(self, **options: Any) -> Forecast:
        """Every transfer cell that is not measured, and those of a dataset nobody trained on.

        Options and errors are those of ``forecasting.study_forecast``: ``new`` with ``like``, ``probe``, ``costs``,
        ``others``, ``predictor``, ``stop``.
        """
        from traitscope.study.forecasting import study_forecast

        return study_forecast(self, **options)

    @looking_once
    def evidence(self, *, gradients: bool = False, stop: Callable[[], bool] | None = None) -> Evidence:
        """What is known of the datasets before, beside and after training (``predict.evidence.pair_features``).

        Args:
            gradients: make the mean gradients that are missing, which needs the base; the rest needs no model.
            stop: as in ``run``.

        Raises:
            TraitscopeError: the base is not at hand, where gradients are wanted.
            Stopped: ``stop`` said so.
        """
        return gather_evidence(self, gradients_wanted=gradients, stop=stop)

    @looking_once
    def effects(self, **options: Any) -> Effects:
        """Side effects of every model, into ``analysis/effects.json`` (options of ``measure_effects``)."""
        return analysis.effects(self, **options)

    @looking_once
    def explain(self, **options: Any) -> Explanation:
        """Which dataset statistics go with traits and gains, into ``analysis/explanation.json``."""
        return analysis.explanation(self, **options)

    @looking_once
    def analyse(self, *, load: bool = True) -> Findings:
        """All findings of a filled folder, each made only if the cells changed; what cannot be made is said.

        The layer analysis is part of it where the study file has ``layers``; it needs the model, the rest does not.

        Args:
            load: the model may be loaded; else layers are among the findings only where they were analysed already.
        """
        return gathering.gather(self, load=load)

    @looking_once
    def outline(self) -> Findings:
        """What is known at a glance, as of ``analyse``: scores, facts and warnings; no finding is made.

        Raises:
            TraitscopeError: no cell is there yet.
        """
        return gathering.outline(self)

    @looking_once
    def report(self, *, figures: Sequence[str] = ("svg",)) -> Path:
        """Writes ``report.html``, ``figures/`` and ``tables/`` and gives the report's path.

        What was written from the same cells and the same study file is left as it is.

        Args:
            figures: formats of the files in ``figures/``: svg, pdf. What each figure draws is always written, as
                ``tables/figures/<name>.csv``.
        """
        return gathering.report(self, figures)

    def layers(self, **options: Any) -> LayerFindings:
        """The layer-by-layer account of base, mix and controls, into ``layers/`` and ``analysis/``.

        Args:
            mix: the mix to compare; by default the study's first.
            causal: switch the adapters off in windows of layers as well.

        Raises:
            TraitscopeError: the study has no mix, or an adapter it needs is not trained.
        """
        return capturing.study_layers(self, **options)

    @looking_once
    def belt(self, **options: Any) -> BeltFindings:
        """Which few adapters to ship, what they are worth on rows held out, and which of them a prompt goes to.

        Merged adapters and routers need the model; options as of ``belting.study_belt``: ``tasks``, ``loss``, ``size``,
        ``merge``, ``weights``, ``rule``, ``seed``.
        """
        return belting.study_belt(self, **options)

    @looking_once
    def traits(self, **options: Any) -> Traits:
        """Latent traits of the score matrix, into ``analysis/traits.json`` (options of ``fit_traits``)."""
        return analysis.traits(self, **options)


def _root_of(folder: RunFolder) -> Path | None:
    """Where the study's files lie: beside a run folder that was moved or copied with them, else where they were."""
    local = folder.read_local()
    place, way = local.get("here"), local.get("root_from_here")
    if isinstance(way, str) and place != str(folder.root.resolve()):
        beside = (folder.root.resolve() / way).resolve()
        if beside.is_dir() and any(beside.glob("*.yaml")):
            return beside
    return Path(local["root"]) if isinstance(local.get("root"), str) else None
