"""What everything about one study shares: configuration, folder, rows, where it computes and whom it tells."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traitscope.compute import Backend
from traitscope.compute.ray_session import read_place
from traitscope.config import BaseConfig, ModelConfig, StudyConfig, load_config
from traitscope.errors import TraitscopeError
from traitscope.store import CellIndex, RunFolder, differences
from traitscope.store.checked import sha256_of
from traitscope.store.files import refuse_not_utf8
from traitscope.store.hub_files import moved_to
from traitscope.store.models import (
    Identity,
    ModelSource,
    adapter_folder,
    base_identity,
    locked,
    model_identity,
    shared_name,
)
from traitscope.store.places import refuse_foreign
from traitscope.study.data import StudyData
from traitscope.study.fitting import Reader
from traitscope.study.hub_pins import pinned_datasets
from traitscope.study.present import Present, changed_adapters, find_present, locked_units
from traitscope.study.progress import Reporter, Silent
from traitscope.study.state import Units, all_adapters, all_units, index_table
from traitscope.study.units import AdapterUnit, adapter_names

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Context:
    """A study's parts. ``Study`` is one with verbs.

    ``inner`` are the studies that a study of several base models is made of, one for each.

    Args:
        config: what is studied.
        folder: the run folder.
        text: the study file as the user wrote it.
        report: whom to tell about progress.
        backend: where the work runs; None for what fits the work: this process, or several of this machine.
        on: a cluster whose machines do the work: ``ray``, or ``ray://host:port``.
        every_s: seconds between checkpoints of a training bank.
        stale_s: seconds without a sign of life after which another process's unit is taken over.
        tracked_by: trackers in place of those that the study file names.
        allow_code: programs that models write may be run, each in a sandbox, where tasks are judged by tests.
    """

    inner: tuple[Context, ...] = ()
    only_looked_at = False

    def __init__(
        self,
        config: StudyConfig,
        folder: Path | str,
        *,
        text: bytes | None = None,
        backend: Backend | None = None,
        on: str | None = None,
        report: Reporter | None = None,
        every_s: float = 60.0,
        stale_s: float = 60.0,
        tracked_by: Sequence[str] | None = None,
        allow_code: bool = False,
    ) -> None:
        refuse_not_utf8(config.root, "rename the study file's folder, or the one above it that is not")
        self.config = config
        self.folder = RunFolder(Path(folder))
        refuse_foreign(self.folder.root)
        self.text = text
        self.report_to: Reporter = report or Silent()
        self.every_s = every_s
        self.stale_s = stale_s
        self.tracked_by = None if tracked_by is None else tuple(tracked_by)
        self.allow_code = allow_code
        self.given_backend = backend
        self.on = on
        if on is not None:
            read_place(on)
            if backend is not None:
                raise TraitscopeError("two places to compute", where="on, backend", fix="give one of them")
        self._expected: tuple[tuple[int, int] | None, Units] | None = None
        self._seen: dict[str, Any] | None = None
        self._told: dict[str, str] = {}

    def by_base(self) -> Mapping[str, Context]:
        """The study on each of its base models, by name; a study of one is itself."""
        return {self.base_name: self}

    @cached_property
    def backend(self) -> Backend:
        """Where work runs: the backend that was given, or this process."""
        if self.given_backend is not None:
            return self.given_backend
        # Imports torch.
        from traitscope.compute.local import Local

        return Local(self.config.compute)

    def serve_with(self, backend: Backend | None) -> None:
        """From here on work runs there; None: where it ran before any backend was given."""
        self.given_backend = backend
        self.__dict__.pop("backend", None)

    @cached_property
    def data(self) -> StudyData:
        """The rows of the study's tasks."""
        day = self.lock.get("date") or self._first_day()
        return StudyData(
            self.config,
            self.folder.read_local().get("tasks"),
            readers=self._readers,
            day=date.fromisoformat(day) if day else None,
            dated=self.lock.get("dated", ()),
            commits=pinned_datasets(self.config, self.lock),
        )

    @property
    def base_name(self) -> str:
        """The base's name in tables and findings: a Hub id, or a folder's name with the hash of what it holds."""
        return shared_name(self.config.base.model, self.lock.get("base", {}).get("fingerprint"))

    def recorded_config(self) -> StudyConfig | None:
        """What the folder's own copy of the study says; None if there is none, or it can no longer be understood.

        Its plugins are left alone: they may have moved, and those of the study that is run now are loaded.
        """
        if not self.folder.exists():
            return None
        try:
            return load_config(self.folder.study_file, self.config.root, plugins=False)
        except TraitscopeError:
            return None

    def changes_since_run(self) -> list[str]:
        """What the study says now and did not say when ``lock.json`` was written: ``recipe.lr: 0.01 -> 0.02``."""
        old, known = self.recorded_config(), self.lock.get("study_file")
        if old is None or known is None:
            return []
        if known != sha256_of(self.folder.study_file.read_bytes()):
            return ["study.yaml in the run folder was edited"]
        without = {"compute", "study", "report_to"}
        before, now = (one.model_dump(mode="json", exclude=without) for one in (old, self.config))
        return differences(before, now)

    def _first_day(self) -> str | None:
        """The day that committed units' chat templates print, where the lock is lost; None where they print none."""
        inputs = [head.inputs for head in self.folder.adapters() if head.name in self.models()]
        heads = islice(self.folder.cells.index(), 50)
        inputs += [self.folder.cells.read_json(head.model, head.task)["inputs"] for head in heads]
        readings = (one for found in inputs for one in _listed(found.get("reading")))
        return next((day for reading in readings if (day := reading.get("day"))), None)

    @property
    def lock(self) -> dict[str, Any]:
        """What ``lock.json`` says; empty in a new folder."""
        return self.folder.read_lock() or {}

    def _readers(self) -> list[Reader]:
        """The base, and the other models that are no adapters of it, as the lock or else the study names them."""
        entries = self.lock.get("models", {})
        found = [Reader("base", self.pinned("base"))]
        for name, model in self.config.models.items():
            source = self.asked(model)
            kept = locked(entries.get(name), source)
            if kept is None and (source.onto is not None or adapter_folder(source) is None):
                found.append(Reader(name, source))
            elif kept is not None and not kept.adapter:
                found.append(Reader(name, replace(kept.source(), said=source.said)))
        return found

    def pinned(self, name: str) -> ModelSource:
        """A model as the lock pins it, else as the study file asks for it; ``base``, or a name under ``models``."""
        source = self.asked(self.config.base if name == "base" else self.config.models[name])
        entry = self.lock.get("base") if name == "base" else self.lock.get("models", {}).get(name)
        kept = locked(entry, source)
        return source if kept is None else replace(kept.source(), said=source.said)

    def asked(self, model: BaseConfig | ModelConfig) -> ModelSource:
        """A model as the study file asks for it."""
        root = self.config.root.resolve()
        if isinstance(model, BaseConfig):
            return ModelSource(model.model, model.revision, model.dtype, root, said=model.where())
        source = ModelSource(model.model, model.revision, "auto", root, model.subfolder, said=model.where())
        return source.on_base(self.asked(self.config.base))

    def adapter_units(self) -> list[AdapterUnit]:
        """The adapters of the study with their fingerprints."""
        return all_adapters(self.config, self.data, base_identity(self.asked(self.config.base), self.lock.get("base")))

    def units(self) -> Units:
        """Adapters, models and cells of the study with their fingerprints, without loading any weights."""
        lock = self.lock
        base = base_identity(self.asked(self.config.base), lock.get("base"))
        entries = lock.get("models", {})
        models = self.config.models.items()
        others = {name: model_identity(self.asked(model), base, entries.get(name)) for name, model in models}
        return all_units(self.config, self.data, base, others)

    def loaded(self, identity: Identity, backend: Backend | None = None) -> Identity:
        """The same model with all known of it; loaded only where nothing else tells."""
        if identity.known:
            return identity
        self.report_to.stage(f"loading {identity.model}")
        facts = (backend or self.backend).inspect(identity.source())
        found = replace(identity, revision=facts.revision, dtype=facts.precision, fingerprint=facts.fingerprint)
        return replace(found, moved_to=moved_to(identity.model) if facts.revision else None)

    def loaded_base(self) -> Identity:
        """The base with all known of it (``auto`` precision in a new folder is known only when it is loaded)."""
        return self.loaded(self.units().base)

    def models(self) -> tuple[str, ...]:
        """The rows of the matrix: base, adapters with controls, mixes, other models."""
        return ("base", *adapter_names(self.config), *self.config.models)

    def cells(self) -> CellIndex:
        """The committed cells that are what this study would make, without their records."""
        return self.present().cells

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within it the folder's cells are looked at once, and all that is found rests on the same ones."""
        outer = self._seen
        self._seen = {} if outer is None else outer
        try:
            yield
        finally:
            self._seen = outer

    def seen(self, name: str, find: Callable[[], T]) -> T:
        """What ``find`` gives; within ``one_look`` it is asked once."""
        if self._seen is None:
            return find()
        if name not in self._seen:
            self._seen[name] = find()
        return self._seen[name]

    def present(self) -> Present:
        """The cells that findings may rest on, and those that were left out."""
        return self.seen("present", self._find_present)

    def changed_adapters(self) -> set[str]:
        """Finished adapters that were made under other settings than the study's of today."""
        return changed_adapters(self._today(), self.folder)

    def _find_present(self) -> Present:
        found = find_present(self._today(), self.folder, self.data)
        if found.left_out and found.left_out != self._told:
            self._told = found.left_out
            self.report_to.note(f"left out: {found.summary()}")
        return found

    def _today(self) -> Units:
        """Today's units, looked for again where the lock is another."""
        path = self.folder.root / "lock.json"
        mark = (path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else None
        if self._expected is None or self._expected[0] != mark:
            self._expected = mark, self._expected_units()
        return self._expected[1]

    def _expected_units(self) -> Units:
        """Today's units; where rows or models are not at hand, those that the lock tells of."""
        try:
            return self.units()
        except TraitscopeError:
            found = locked_units(self.config, self.asked, self.lock)
            if found is None:
                raise
            return found

    def score_table(self) -> pd.DataFrame:
        """All scores of the study's models and targets, long, in the study's order."""
        return self.seen("table", lambda: index_table(self.cells(), self.models(), self.config.target_names()))

    def records(self, model: str, task: str) -> pd.DataFrame:
        """One row per example of a cell: gold, prediction, output, loss, log-likelihoods.

        Raises:
            TraitscopeError: there is no such cell, or its files are damaged.
        """
        return self.folder.cells.read_frame(model, task)


def looking_once(verb: F) -> F:
    """A method of a ``Context`` all of which is one look (see ``Context.one_look``)."""

    @functools.wraps(verb)
    def wrapped(self: Context, *args: Any, **kwargs: Any) -> Any:
        with self.one_look():
            return verb(self, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _listed(reading: Any) -> list[dict[str, Any]]:
    """How rows were read: an adapter has a list of it, one for each part, a cell its own."""
    return reading if isinstance(reading, list) else [reading] if isinstance(reading, dict) else []


def has_cells(part: Context) -> bool:
    """Whether a base model has any cell; none where its folder is new."""
    return part.folder.exists() and not part.score_table().empty
