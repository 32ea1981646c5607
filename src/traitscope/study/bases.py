"""A study of several base models: one run folder for each, and the findings of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.records import Example, ExampleRecord
from traitscope.registry import did_you_mean
from traitscope.study import keeping, whole
from traitscope.study.adopting import BASES, adopt, owner_of, refuse_copies, refuse_renamed, refuse_same
from traitscope.study.bases_plan import BasesPlan, BasesWork
from traitscope.study.context import looking_once
from traitscope.study.healing import verify_whole
from traitscope.study.progress import Stopped, Under
from traitscope.study.study import Study
from traitscope.texts import count_of

if TYPE_CHECKING:
    import pandas as pd

    from traitscope.belt import BeltFindings
    from traitscope.effects import Across, Effects, Explanation
    from traitscope.matrix import ScoreMatrix
    from traitscope.predict.decision import Decision
    from traitscope.predict.evidence import Evidence
    from traitscope.predict.forecast import Forecast
    from traitscope.stats import DatasetStats
    from traitscope.store.damage import Damage
    from traitscope.study.capturing import LayerFindings
    from traitscope.study.state import Units
    from traitscope.traits import Traits


class BasesStudy(Study):
    """A study of several base models; ``Study.open`` gives one where the study file says ``bases``.

    Each base model has an ordinary run folder, ``bases/<name>/``, which every verb reads by itself too; above them
    stand the study file and the findings of all. What is of one base model alone (``layers``, ``belt``,
    ``dataset_stats``) is asked of ``part(name)``.

    Attributes:
        parts: the study on each base model, by its name.
    """

    def __init__(
        self, config: StudyConfig, folder: Path | str, *, chosen: Sequence[str] | None = None, **options: Any
    ) -> None:
        super().__init__(config, folder, **options)
        self._options = options
        refuse_same(config)
        given = {key: value for key, value in options.items() if key not in ("text", "report")}
        self._all = {
            name: Study(one, self.folder.root / BASES / name, report=Under(self.report_to, name), **given)
            for name, one in config.by_base().items()
        }
        refuse_renamed(self.folder, self._all)
        if chosen is not None:
            _check_names(chosen, list(self._all))
        self.parts: dict[str, Study] = {
            name: part for name, part in self._all.items() if chosen is None or name in chosen
        }
        self.inner = tuple(self.parts.values())

    def by_base(self) -> dict[str, Study]:
        """The study on each of its base models, by name."""
        return self.parts

    def only(self, names: Sequence[str]) -> BasesStudy:
        """The same study with some of its base models alone.

        Raises:
            TraitscopeError: there is no such base model.
        """
        return BasesStudy(self.config, self.folder.root, chosen=names, **self._options)

    def part(self, name: str) -> Study:
        """The study on one base model.

        Raises:
            TraitscopeError: there is no such base model.
        """
        _check_names([name], list(self.parts))
        return self.parts[name]

    def _headline(self) -> str:
        config = self.config
        made = f"{count_of(len(config.resolved_sources()), 'source')}, {count_of(len(config.target_names()), 'target')}"
        return f"{config.study} on {count_of(len(self.parts), 'base model')}, {made}, in {self.folder.root.name}"

    @property
    def whole(self) -> bool:
        """Whether it is of all base models that the study file names."""
        return len(self.parts) == len(self._all)

    def check_folder(self) -> str | None:
        """Sees that what lies in the folder is of the base models it is taken for.

        Returns:
            The base model whose run, of a study of it alone, lies in the folder: the next run takes it over.

        Raises:
            TraitscopeError: the folder is of another base model, or two base models are the same.
        """
        refuse_copies(self.config, self._all)
        return owner_of(self.folder, self._all)

    # ---- what there is to do

    def plan(self, *, cost: bool = False) -> BasesPlan:  # type: ignore[override]
        """What is done and what is missing on every base model; one that is not at hand is named.

        What a study of one base model left in the folder counts: ``run`` takes it over.

        Args:
            cost: as in ``Study.plan``.

        Raises:
            TraitscopeError: no base model can be planned, or the folder is of others.
        """
        owner = self.check_folder()
        plans, failed = self.each(lambda part: self.as_it_lies(part, owner).plan(cost=cost))
        if not plans:
            raise self.failure(failed)
        return BasesPlan(self.config.study, self.folder.root, plans, failed)

    def as_it_lies(self, part: Study, owner: str | None) -> Study:
        """The study on a base model, in the folder of the whole where its run still lies there."""
        if owner is None or part is not self.parts.get(owner):
            return part
        return Study(part.config, self.folder.root, **{**self._options, "report": part.report_to, "text": None})

    # ---- doing it

    def run(self, **options: Any) -> BasesWork | None:  # type: ignore[override]
        """Trains and evaluates all that is missing, one base model after the other; None if nothing was.

        A base model that cannot be loaded, or on which something cannot be made, is named at the end; the others are
        completed. Arguments as in ``Study.run``.

        Raises:
            TraitscopeError: as in ``Study.run``, when all other base models are done.
            Stopped: ``stop`` said so.
        """
        return self._fill(lambda part: part.run(**options))

    def train(self, **options: Any) -> BasesWork | None:  # type: ignore[override]
        """Trains the missing adapters of every base model. Arguments and errors as in ``run``."""
        return self._fill(lambda part: part.train(**options))

    def evaluate(self, **options: Any) -> BasesWork | None:  # type: ignore[override]
        """Evaluates every model whose weights are there, on every base model. Arguments and errors as in ``run``."""
        return self._fill(lambda part: part.evaluate(**options))

    def rescore(self, *, stop: Callable[[], bool] | None = None) -> BasesWork | None:  # type: ignore[override]
        """Judges all committed cells anew from their records, on every base model that has any."""
        return self._fill(lambda part: part.rescore(stop=stop) if part.folder.exists() else None)

    def _fill(self, verb: Callable[[Study], Any]) -> BasesWork | None:
        self.check_folder()
        adopt(self.folder, self._all, self.report_to, stale_s=self.stale_s)
        if not self.folder.study_file.exists():
            self._write_down()
        made, failed = self.each(verb, going_on=True)
        if made:
            self._write_down()
        # Those of the Hub are known now.
        refuse_copies(self.config, self._all)
        if failed:
            raise self.failure(failed)
        done = {name: work for name, work in made.items() if work is not None}
        return BasesWork(done) if done else None

    def each(
        self, verb: Callable[[Study], Any], *, going_on: bool = False
    ) -> tuple[dict[str, Any], dict[str, TraitscopeError]]:
        """What ``verb`` gives of every base model, and the errors of those that it failed on."""
        found, failed = dict[str, Any](), dict[str, TraitscopeError]()
        for name, part in self.parts.items():
            try:
                found[name] = verb(part)
            except Stopped:
                raise
            except TraitscopeError as error:
                failed[name] = error
                if going_on and len(self.parts) > 1:
                    self.report_to.note(f"{name}: {error.what}; the other base models go on")
            finally:
                # A base that is done makes room for the next one.
                part.serve_with(part.given_backend)
        return found, failed

    def failure(self, failed: Mapping[str, TraitscopeError], others: str = "done") -> TraitscopeError:
        """One error for those of several base models; ``others`` is what the rest of them are."""
        first = next(iter(failed.values()))
        same = all((one.what, one.where) == (first.what, first.where) for one in failed.values())
        if len(failed) == len(self.parts) and same:
            return first
        told = [f"{name} ({one.where + ': ' if one.where else ''}{one.what})" for name, one in failed.items()]
        done = len(self.parts) - len(failed)
        rest = f"; the other {'one is' if done == 1 else f'{done} are'} {others}" if done else ""
        return TraitscopeError(
            f"{count_of(len(failed), 'base model')} of {len(self.parts)} failed: {'; '.join(told)}{rest}",
            where=str(self.folder.root),
            fix=first.fix,
        )

    def _write_down(self) -> None:
        """The study file, and where its relative paths start, so that the folder is read by itself."""
        from traitscope.study.filling import study_bytes, where_it_lies

        self.folder.prepare()
        # First: a study file alone makes no run folder, and a process that begins at that moment would refuse it.
        self.folder.write_local(where_it_lies(self))
        self.folder.write_if_changed(self.folder.study_file, study_bytes(self))

    # ---- what there is

    def verify(self) -> list[Damage]:
        """Damage in the run folder of every base model, and of the findings of all."""
        return verify_whole(self.folder)

    def read_records(self, model: str, task: str) -> list[ExampleRecord]:
        """The records of a cell; the model as the matrix calls it: ``base/row``."""
        part, row = self._row(model)
        return part.read_records(row, task)

    def records(self, model: str, task: str) -> pd.DataFrame:
        """The same as a table."""
        part, row = self._row(model)
        return part.records(row, task)

    def _row(self, model: str) -> tuple[Study, str]:
        base, _, row = model.partition("/")
        if base not in self.parts or not row:
            raise TraitscopeError(
                f"there is no row {model!r}", where="model", fix=f"write base/row; bases: {', '.join(self.parts)}"
            )
        return self.parts[base], row

    def models(self) -> tuple[str, ...]:
        """The rows of the matrix: those of every base model, as ``base/row``."""
        return tuple(f"{name}/{row}" for name, part in self.parts.items() for row in part.models())

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within it the folders' cells are looked at once."""
        with ExitStack() as looks:
            looks.enter_context(super().one_look())
            for part in self.parts.values():
                looks.enter_context(part.one_look())
            yield

    def score_table(self) -> pd.DataFrame:
        """All scores, long, with a column ``base``; base models without any are left out."""
        return self.seen("table", lambda: whole.score_table(self.parts))

    # ---- findings

    @looking_once
    def scores(self, *, records: bool = False) -> ScoreMatrix:
        """One score matrix of all base models, rows called ``base/row``.

        Args:
            records: add every example's value, over the examples that all base models have.

        Raises:
            TraitscopeError: there is no cell, or two base models are the same.
        """
        refuse_copies(self.config, whole.filled(self.parts))
        return self.seen(f"scores {records}", lambda: whole.scores(self, self.parts, records=records))

    @looking_once
    def across(self, **options: Any) -> Across:
        """What holds in how many base models, into ``analysis/across.json`` (options of ``effects.across_bases``).

        Raises:
            TraitscopeError: fewer than two base models have findings.
        """
        from traitscope.effects import Across, across_bases

        made = self.effects_by_base()
        inputs = keeping.with_defaults(across_bases, options)
        make = partial(across_bases, made, scores=self.scores(records=True), **options)
        return self._kept("across", inputs, make, Across)

    @looking_once
    def effects_by_base(self, **options: Any) -> dict[str, Effects]:
        """The effects of every base model that has cells, by its name (options of ``measure_effects``).

        Raises:
            TraitscopeError: none has any.
        """
        found = {name: part.effects(**options) for name, part in whole.filled(self.parts).items()}
        if not found:
            raise self.nothing()
        return found

    def _kept(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Any], kind: Any) -> Any:
        """A finding of all base models; of some alone it is made, and not kept as that of all."""
        return keeping.kept_json(self, name, inputs, make, kind) if self.whole else make()

    @looking_once
    def effects(self, **options: Any) -> Effects:
        """The effects of all base models, each as its own base model has them (options of ``measure_effects``)."""
        from traitscope.effects.together import effects_together

        return effects_together(self.effects_by_base(**options))

    @looking_once
    def traits(self, **options: Any) -> Traits:
        """Latent traits of the matrix of all base models, into ``analysis/traits.json`` (options of ``fit_traits``)."""
        from traitscope.traits import TraitOptions, Traits, fit_traits

        make = partial(fit_traits, self.scores(records=True), **options)
        return self._kept("traits", keeping.with_defaults(TraitOptions, options), make, Traits)

    @looking_once
    def forecast(self, *, base: str | None = None, **options: Any) -> Forecast:
        """As ``Study.forecast`` of one base model, with the cells of the others known.

        Args:
            base: which. options: as of ``Study.forecast``; ``others`` are matrices of yet other base models.

        Raises:
            TraitscopeError: none was named and there are several; or as ``Study.forecast``.
        """
        refuse_copies(self.config, filled := whole.filled(self._all))
        part = self._alone("a forecast") if base is None else self.part(base)
        others = [one.scores() for one in filled.values() if one.folder.root != part.folder.root]
        return part.forecast(others=[*others, *options.pop("others", ())], **options)

    @looking_once
    def analyse(self, *, load: bool = True) -> Findings:
        """All findings of all base models together; those of one are in its own folder. None needs a model."""
        return whole.gather(self, self.parts)

    @looking_once
    def outline(self) -> Findings:
        """As of ``Study.outline``, of all base models together."""
        return whole.outline(self, self.parts)

    @looking_once
    def report(self, *, figures: Sequence[str] = ("svg",)) -> Path:
        """Writes every base model's own report, then that of all of them; gives the path of this one.

        Args:
            figures: formats of the files in ``figures/``, as of one base model.

        Raises:
            TraitscopeError: no cell is there yet.
        """
        filled = whole.filled(self.parts)
        if not filled:
            raise self.nothing()
        for name, part in filled.items():
            self.report_to.stage(f"report of {name}")
            part.report(figures=figures)
        if len(self.parts) == 1:
            return next(iter(self.parts.values())).folder.root / "report.html"
        return whole.report(self, self.parts, figures)

    def nothing(self) -> TraitscopeError:
        """The error where there is no cell."""
        owner = owner_of(self.folder, self._all)
        fix = "traitscope run fills it" if owner is None else f"traitscope run takes over the run of {owner} there"
        return TraitscopeError("no cell has been evaluated yet", where=str(self.folder.root), fix=fix)

    # ---- what is of one base model alone

    def _alone(self, what: str) -> Study:
        """The study on its one base model.

        Raises:
            TraitscopeError: it has several.
        """
        if len(self.parts) == 1:
            return next(iter(self.parts.values()))
        raise TraitscopeError(
            f"{what} is of one base model, and the study has several",
            where=self.config.study,
            fix=f"name it with --base, or by study.part(name) in Python: {', '.join(self.parts)}",
        )

    def decide(self, budget: float, **options: Any) -> Decision:
        """As ``Study.decide``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("a choice under a budget").decide(budget, **options)

    def layers(self, **options: Any) -> LayerFindings:
        """As ``Study.layers``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("the account of the layers").layers(**options)

    def belt(self, **options: Any) -> BeltFindings:
        """As ``Study.belt``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("a belt").belt(**options)

    def dataset_stats(self, **options: Any) -> DatasetStats:
        """As ``Study.dataset_stats``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("the statistics of the datasets").dataset_stats(**options)

    def explain(self, **options: Any) -> Explanation:
        """As ``Study.explain``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("an explanation").explain(**options)

    def evidence(self, **options: Any) -> Evidence:
        """As ``Study.evidence``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("the evidence").evidence(**options)

    def units(self) -> Units:
        """As ``Study.units``, of one base model: ask ``part(name)`` where there are several."""
        return self._alone("a list of units").units()

    def examples(self, task: str) -> dict[str, list[Example]]:
        """The rendered rows of a task by split, as the first base model that was begun has them."""
        begun = (part for part in self.parts.values() if part.folder.exists())
        return next(begun, next(iter(self.parts.values()))).examples(task)


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise TraitscopeError(f"there is no base model {name!r}", where="--base", fix=did_you_mean(name, known))


Study.of_bases = BasesStudy
