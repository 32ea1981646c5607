"""``Study``: a configuration and its run folder; the object a user holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from traitscope.compute import Local
from traitscope.config import StudyConfig, load_config
from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord
from traitscope.store import CellIndex, RunFolder
from traitscope.store.files import json_bytes
from traitscope.study import analysis, capturing, evaluating, hidden, training
from traitscope.study.costs import study_cost
from traitscope.study.data import StudyData
from traitscope.study.identity import Identity, base_identity, loaded_identity, model_identity
from traitscope.study.lock import changed_packages, make_lock
from traitscope.study.planning import StudyPlan
from traitscope.study.progress import Reporter, Silent
from traitscope.study.state import State, Units, all_units, find_state, index_table, refuse_changes
from traitscope.study.units import adapter_names
from traitscope.study.work import Work
from traitscope.study.workers import Crew, crew_size

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.effects import Effects, Explanation
    from traitscope.matrix import ScoreMatrix
    from traitscope.stats import DatasetStats
    from traitscope.study.capturing import LayerFindings
    from traitscope.traits import Traits

POLL_S = 0.5


def _same(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two configurations say the same; where they were read does not count."""
    return one.model_dump(mode="json") == other.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Findings:
    """What a report shows.

    Attributes:
        scores: the matrix, with the value of every example.
        stats: statistics of the datasets.
        traits, effects, explanation: the analyses of the transfer.
        layers: the layer analysis and its causal check.
        missing: why a part that is None is missing.
    """

    scores: ScoreMatrix
    stats: DatasetStats | None
    traits: Traits | None
    effects: Effects | None
    explanation: Explanation | None
    layers: LayerFindings | None
    missing: Mapping[str, str]


class Study:
    """A study and the folder it fills.

    Make one with ``Study.open``. Nothing is loaded or written before a method needs it; all that is committed
    is found again, so every method does only what is missing.

    Args:
        config: what is studied.
        folder: the run folder.
        text: the study file as the user wrote it, copied into the folder.
        place: where the work runs; by default this process.
        report: whom to tell about progress; by default nobody.
        every_s: seconds between checkpoints of a training bank.
        stale_s: seconds without a sign of life after which another process's unit is taken over.
    """

    def __init__(
        self,
        config: StudyConfig,
        folder: Path | str,
        *,
        text: bytes | None = None,
        place: Local | None = None,
        report: Reporter | None = None,
        every_s: float = 60.0,
        stale_s: float = 60.0,
    ) -> None:
        self.config = config
        self.folder = RunFolder(Path(folder))
        self.place = place or Local(config.compute)
        self.report_to: Reporter = report or Silent()
        self.every_s = every_s
        self.stale_s = stale_s
        self._text = text

    @classmethod
    def open(
        cls,
        source: Path | str | StudyConfig,
        out: Path | str | None = None,
        *,
        place: Local | None = None,
        report: Reporter | None = None,
        every_s: float = 60.0,
        stale_s: float = 60.0,
    ) -> Study:
        """A study from its file, from a run folder, or from a configuration built in Python.

        Args:
            source: a study file; or a run folder, which holds a copy of its study file; or a configuration.
            out: the run folder; by default ``runs/<study>`` beside the study file.

        Raises:
            TraitscopeError: the file is missing or says something that does not hold together.
        """
        options: dict[str, Any] = {"place": place, "report": report, "every_s": every_s, "stale_s": stale_s}
        if isinstance(source, StudyConfig):
            return cls(source, out or source.root / "runs" / source.study, **options)
        path = Path(source)
        if path.is_dir() and (folder := RunFolder(path)).exists():
            root = folder.read_local().get("root")
            config = load_config(folder.study_file)
            return cls(config.with_root(Path(root)) if root else config, out or path, **options)
        if path.is_dir():
            path = path / "study.yaml"
            if not path.exists():
                raise TraitscopeError(
                    "this folder holds no study", where=str(path.parent), fix="name a study file, or a run folder"
                )
        config = load_config(path)
        return cls(config, out or path.parent / "runs" / config.study, text=path.read_bytes(), **options)

    # ---- what there is to do

    @cached_property
    def data(self) -> StudyData:
        """The rows of the study's tasks."""
        return StudyData(self.config, self.folder.read_local().get("tasks"))

    def units(self) -> Units:
        """Adapters, models and cells of the study with their fingerprints, without loading any weights."""
        lock = self.folder.read_lock()
        config = self.config.base
        base = base_identity(config, lock)
        if base is None:
            base = Identity(config.model, config.revision, None, config.dtype, "not loaded yet")
        others = {}
        for name, model in self.config.models.items():
            entry = (lock or {}).get("models", {}).get(name)
            found = model_identity(model, base, entry)
            others[name] = found or Identity(model.model, model.revision, None, base.dtype, f"not loaded yet: {name}")
        return all_units(self.config, self.data, base, others)

    def plan(self, *, cost: bool = False) -> StudyPlan:
        """What is done and what is missing.

        Args:
            cost: estimate tokens, time, memory and disk as well (reads the tokenizer, never the weights).
        """
        units = self.units()
        state = find_state(units, self.folder, self.data)
        found = study_cost(self.config, units, state, self.data) if cost and not state.complete else None
        return StudyPlan(self.config.study, self.folder.root, len(units.adapters), len(units.cells), state, found)

    # ---- doing it

    def run(self, *, replace: bool = False, stop: Callable[[], bool] | None = None) -> Work | None:
        """Trains and evaluates all that is missing, and captures hidden states of the datasets; None if nothing was.

        Several processes may run the same study in the same folder; each unit is done once.

        Args:
            replace: put units that were made under other settings aside (in ``replaced/``), make them anew.
            stop: asked between units and after every training step; when true, the work is saved and stops.

        Raises:
            TraitscopeError: the study was changed under the folder, or a unit cannot be made.
            Stopped: ``stop`` said so.
        """
        return self._fill(train=True, evaluate=True, replace=replace, stop=stop)

    def train(self, *, replace: bool = False, stop: Callable[[], bool] | None = None) -> Work | None:
        """Trains the missing adapters. Arguments and errors as in ``run``."""
        return self._fill(train=True, evaluate=False, replace=replace, stop=stop)

    def evaluate(self, *, replace: bool = False, stop: Callable[[], bool] | None = None) -> Work | None:
        """Evaluates every model whose weights are there, and captures hidden states.

        Arguments and errors as in ``run``.
        """
        return self._fill(train=False, evaluate=True, replace=replace, stop=stop)

    def rescore(self, *, stop: Callable[[], bool] | None = None) -> Work | None:
        """Judges all committed cells anew from their records: parser and metrics, no model.

        Raises:
            TraitscopeError: a cell was made from other rows or under other settings.
        """
        with self._work(self.units(), False, stop) as work:
            evaluating.rescore(work, everything=True)
            return work

    def _fill(self, *, train: bool, evaluate: bool, replace: bool, stop: Callable[[], bool] | None) -> Work | None:
        units = self.units()
        state = find_state(units, self.folder, self.data)
        unseen = self._unseen(units.base) if evaluate else []
        if state.complete and not unseen and self.folder.exists():
            self._remember()
            return None
        verb = "run" if train and evaluate else "train" if train else "eval"
        workers = self._crew_size(state)
        if workers > 1:
            self.place.share_cores(workers)
        with (
            self._work(self._loaded_units(units), replace, stop, workers) as work,
            Crew(self.folder.root, verb, workers) as crew,
        ):
            while True:
                evaluating.rescore(work)
                left = training.train_missing(work) if train else False
                if evaluate:
                    left |= evaluating.evaluate_missing(work)
                    left |= hidden.capture_missing(work)
                for words in crew.complaints():
                    self.report_to.note(f"a process of this run ended early: {words}")
                if not left or (not train and not work.leases.busy()):
                    break
                work.wait(POLL_S)
        if workers > 1:
            self.place.take_cores()
            self._count_in(work, state, unseen)
        return work

    def _crew_size(self, state: State) -> int:
        data, config = self.data, self.config
        trained: list[Example] = []
        for unit in state.missing_adapters:
            parts = data.mix(unit.mix) if unit.mix is not None else [(p, data.train(p)) for p in unit.parts]
            trained += [row for _, rows in parts for row in rows] * unit.recipe.epochs
        evaluated = [row for cell in state.missing_cells for row in data.load(cell.task).eval]
        return crew_size(config.compute.workers, config.compute.device, config.base.model, trained, evaluated)

    def _unseen(self, base: Identity) -> list[str]:
        """The datasets whose mean hidden states are missing."""
        return hidden.missing_hidden(self.folder, hidden.hidden_inputs(self.config, self.data, base))

    def _count_in(self, work: Work, before: State, unseen: list[str]) -> None:
        """Counts what the run's other processes made as made by the run."""
        after = work.state()
        adapters, cells = ({u.name for u in after.missing_adapters}, {c.unit for c in after.missing_cells})
        work.trained = [unit.name for unit in before.missing_adapters if unit.name not in adapters]
        work.evaluated = [cell.unit for cell in before.missing_cells if cell.unit not in cells]
        still = self._unseen(work.units.base)
        work.captured = [f"hidden/{name}" for name in unseen if name not in still]

    def loaded_base(self) -> Identity:
        """The base's identity; loads it only where nothing else tells (``auto`` precision in a new folder)."""
        base = self.units().base
        if base.fingerprint.startswith("not loaded yet") or base.dtype == "auto":
            self.report_to.stage(f"loading {base.model}")
            base = loaded_identity(base.model, base.asked, self.place.base(base.source()))
        return base

    def _loaded_units(self, units: Units) -> Units:
        """The units with every model's identity known, loading those for which nothing else tells it."""
        base, others = self.loaded_base(), dict(units.identities)
        for name, identity in others.items():
            model = self.config.models[name]
            found = model_identity(model, base, identity.to_json() if identity.revision else None)
            if found is None or found.fingerprint.startswith("not loaded yet"):
                self.report_to.stage(f"loading {model.model}")
                asked = Identity(model.model, model.revision, None, base.dtype, "")
                found = loaded_identity(model.model, model.revision, self.place.base(asked.source()))
            others[name] = found
        return all_units(self.config, self.data, base, others)

    @contextmanager
    def _work(self, units: Units, replace: bool, stop: Callable[[], bool] | None, workers: int = 1) -> Iterator[Work]:
        self.folder.prepare()
        with self.folder.leases(stale_s=self.stale_s, beat_s=min(5.0, self.stale_s / 6)) as leases:
            work = Work(
                self.config,
                self.folder,
                leases,
                self.data,
                units,
                self.place,
                self.report_to,
                self.every_s,
                workers,
                stop or (lambda: False),
            )
            self._settle_changes(work, replace)
            self._write_down(units)
            evaluating.write_tasks(work)
            self.folder.log("start", adapters=len(units.adapters), cells=len(units.cells))
            try:
                yield work
            finally:
                self._remember()
            self.folder.log("end", trained=len(work.trained), evaluated=len(work.evaluated), tokens=work.tokens)

    def _settle_changes(self, work: Work, replace: bool) -> None:
        state = work.state()
        if replace:
            if state.changed:
                place = self.folder.set_aside(list(state.changed))
                self.report_to.note(f"{len(state.changed)} units of an earlier study moved to {place}")
            training.drop_open_banks(work)
            return
        old = load_config(self.folder.study_file) if self.folder.exists() else None
        error = refuse_changes(state, old, self.config, self.folder)
        if error is not None:
            raise error
        training.open_banks(work)

    def _write_down(self, units: Units) -> None:
        old = self.folder.read_lock()
        lock = make_lock(self.config, units, self.data)
        if old is not None and (changed := changed_packages(old, lock)):
            self.report_to.note(
                f"software changed since this folder was begun: {', '.join(changed)}; "
                "new units agree with old ones to rounding, not to the bit"
            )
        self.folder.write_if_changed(self.folder.study_file, self._study_text())
        self.folder.write_if_changed(self.folder.root / "lock.json", json_bytes(lock))
        self._remember()

    def _study_text(self) -> bytes:
        if self._text is not None:
            return self._text
        if self.folder.exists() and _same(load_config(self.folder.study_file), self.config):
            return self.folder.study_file.read_bytes()
        plain = self.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode()

    def _remember(self) -> None:
        try:
            self.folder.write_local({"root": str(self.config.root.resolve()), "tasks": self.data.to_remember()})
        except TraitscopeError:
            return  # a cache: a folder that cannot be written is still read

    # ---- what there is

    def models(self) -> tuple[str, ...]:
        """The rows of the matrix: base, adapters with controls, mixes, other models."""
        return ("base", *adapter_names(self.config), *self.config.models)

    def cells(self) -> CellIndex:
        """All committed cells, without their records."""
        return self.folder.cells.index()

    def score_table(self) -> pd.DataFrame:
        """All scores of the study's models and targets, long, in the study's order."""
        return index_table(self.cells(), self.models(), self.config.target_names())

    def records(self, model: str, task: str) -> pd.DataFrame:
        """One row per example of a cell: gold, prediction, output, loss, log-likelihoods.

        Raises:
            TraitscopeError: there is no such cell, or its files are damaged.
        """
        return self.folder.cells.read_frame(model, task)

    def read_records(self, model: str, task: str) -> list[ExampleRecord]:
        """The same as objects."""
        return self.folder.cells.read_records(model, task)

    def examples(self, task: str) -> dict[str, list[Example]]:
        """The rendered rows of a task by split, as the folder holds them."""
        return self.folder.read_task(task)

    # ---- findings

    def scores(self, *, records: bool = False) -> ScoreMatrix:
        """The score matrix, models x tasks, with standard errors.

        Args:
            records: add every example's value, for paired errors and bootstraps.
        """
        return analysis.scores(self, records=records)

    def dataset_stats(self, **options: Any) -> DatasetStats:
        """Statistics of every task's rows, from their text (options of ``stats.dataset_stats``).

        Semantic similarity is by the base's hidden states, which ``run`` and ``evaluate`` leave in the folder, and by
        TF-IDF where they are missing. No model is loaded.
        """
        return analysis.dataset_statistics(self, **options)

    def effects(self, **options: Any) -> Effects:
        """Side effects of every model, into ``analysis/effects.json`` (options of ``measure_effects``)."""
        return analysis.effects(self, **options)

    def explain(self, **options: Any) -> Explanation:
        """Which dataset statistics go with traits and gains, into ``analysis/explanation.json``."""
        return analysis.explanation(self, **options)

    def analyse(self) -> Findings:
        """All findings of a filled folder, each made only if the cells changed; what cannot be made is said.

        The layer analysis is part of it where the study file has ``layers``; it needs the model, the rest does not.
        """
        found: dict[str, Any] = {}
        missing: dict[str, str] = {}
        parts = {"stats": self.dataset_stats, "traits": self.traits, "effects": self.effects}
        for name, make in {**parts, "explanation": self.explain, "layers": self.layers}.items():
            found[name] = None
            if name == "layers" and self.config.layers is None:
                missing[name] = "the study file has no layers"
                continue
            self.report_to.stage(f"findings: {name}")
            try:
                found[name] = make()
            except TraitscopeError as error:
                missing[name] = error.what
        return Findings(scores=self.scores(records=True), **found, missing=missing)

    def report(self) -> Path:
        """Writes ``report.html``, ``figures/`` and ``tables/`` and gives the report's path.

        What was written from the same cells and the same study file is left as it is.
        """
        return analysis.report(self)

    def layers(self, **options: Any) -> LayerFindings:
        """The layer-by-layer account of base, mix and controls, into ``layers/`` and ``analysis/``.

        Args:
            mix: the mix to compare; by default the study's first.
            causal: switch the adapters off in windows of layers as well.

        Raises:
            TraitscopeError: the study has no mix, or an adapter it needs is not trained.
        """
        return capturing.study_layers(self, **options)

    def traits(self, **options: Any) -> Traits:
        """Latent traits of the score matrix, into ``analysis/traits.json`` (options of ``fit_traits``)."""
        return analysis.traits(self, **options)
