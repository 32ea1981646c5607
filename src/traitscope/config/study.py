"""What a study file may say: frozen classes that refuse unknown keys, with errors that name file, line and fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from traitscope.config.changes import with_changes
from traitscope.config.data import MOST, Name, Texts
from traitscope.config.problems import Problem, check_name
from traitscope.config.recipe import MixConfig, RecipeConfig, SourceConfig, no_repeat, source_entries
from traitscope.config.sections import BaseConfig, ComputeConfig, LayersConfig, ModelConfig, model_text
from traitscope.config.settings import Settings, attach, settings_from
from traitscope.config.task import TaskConfig
from traitscope.config.yamlfile import KeyPath, Places, read_yaml
from traitscope.errors import TraitscopeError
from traitscope.plugins import load_plugins
from traitscope.registry import did_you_mean
from traitscope.texts import shown

RunSd = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """One source as it will be trained: ``control`` is None, or the alteration of its train rows."""

    name: str
    task: str
    control: str | None
    recipe: RecipeConfig


class StudyConfig(Settings):
    """A study: a base, a recipe, tasks, and what is trained and evaluated on what."""

    study: Name = Field(description="The study's name: letters, digits, -, _ and .")
    plugins: Texts = Field(
        (), description="Modules, or files ending in .py, that add metrics, parsers, formats, measures or statistics"
    )
    base: Annotated[BaseConfig, BeforeValidator(model_text)] = Field(description="The untuned model")
    recipe: RecipeConfig = Field(default_factory=RecipeConfig, description="How every adapter is trained")
    tasks: dict[Name, TaskConfig] = Field(min_length=1, description="The tasks by name")
    sources: Annotated[tuple[SourceConfig, ...], BeforeValidator(source_entries)] | None = Field(
        None, description="What adapters are trained on; default: every task with train rows"
    )
    controls: dict[str, Texts] = Field(
        default_factory=dict,
        description="Altered copies of sources, trained too: {source: [mislabel, balance]}",
    )
    targets: Texts | None = Field(
        None, description="The tasks models are evaluated on; default: every task with eval rows"
    )
    mixes: dict[Name, MixConfig] = Field(default_factory=dict, description="Adapters trained on several sources")
    models: dict[Name, Annotated[ModelConfig, BeforeValidator(model_text)]] = Field(
        default_factory=dict, description="Further models to evaluate: {name: Hub id, folder or GGUF file}"
    )
    layers: LayersConfig | None = Field(None, description="The layer-by-layer account; left out: none")
    run_sd: Annotated[RunSd, Field(le=100)] | dict[str, RunSd] | None = Field(
        None, description="Deviation of scores between training runs, where known: points, or {task: in its unit}"
    )
    compute: ComputeConfig = Field(default_factory=ComputeConfig, description="Device and portions")

    _root: Path = PrivateAttr(default_factory=Path)
    _resolved: tuple[tuple[Any, ...], tuple[ResolvedSource, ...]] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _with_plugins(cls, data: Any, info: ValidationInfo) -> Any:
        # Before the tasks are looked at: they may name what a plugin adds.
        named = data.get("plugins") if isinstance(data, Mapping) else None
        names = named if isinstance(named, list | tuple) else [named] if isinstance(named, str) else ()
        wanted = (info.context or {}).get("plugins", True)
        if wanted and all(isinstance(name, str) for name in names):
            try:
                load_plugins(names, (info.context or {}).get("root", Path()))
            except TraitscopeError as error:
                raise Problem(f"{error.where}: {error.what}", fix=error.fix or "", keys=("plugins",)) from error
        return data

    @model_validator(mode="after")
    def _names(self) -> StudyConfig:
        self._check_task_names()
        self._check_sources()
        self._check_targets()
        self._check_mixes()
        self._check_copies()
        self._check_run_sd()
        self._check_trained_on()
        self._check_row_names()
        return self

    def _check_row_names(self) -> None:
        trained = [(s.name, s.recipe.seeds) for s in self.resolved_sources()]
        trained += [(name, self.recipe.changed(mix.change).seeds) for name, mix in self.mixes.items()]
        adapters = {f"{name}-s{seed}".lower() for name, seeds in trained for seed in seeds}
        entries = enumerate(self._entries())
        places: list[tuple[str, KeyPath]] = [
            *((s.name, ("tasks", s.name) if self.sources is None else ("sources", index)) for index, s in entries),
            *((f"{s}.{c}", ("controls", s, index)) for s, cs in self.controls.items() for index, c in enumerate(cs)),
            *((name, (group, name)) for group in ("mixes", "models") for name in getattr(self, group)),
        ]
        # Folders of some disks are the same in capitals.
        taken = {"base": ("base", "the base")}
        for name, keys in places:
            holder = taken.get(name.lower()) or self._task_called(name, keys)
            if holder is None and keys[0] == "models" and name.lower() in adapters:
                holder = (name, "an adapter's")
            if holder is not None:
                written = "" if holder[0] == name else f", as {shown(holder[0])}"
                raise Problem(
                    f"the name {shown(name)} is {holder[1]} already{written}",
                    fix="every row of the matrix needs a name of its own, whatever its capitals",
                    keys=keys,
                )
            taken[name.lower()] = (name, f"among {keys[0]}")

    def _task_called(self, name: str, keys: KeyPath) -> tuple[str, str] | None:
        """A task that is no part of this row: the row would be taken for what was trained on it."""
        own = next((s.task_name for s in self._entries() if s.name == name), None) if keys[0] == "sources" else None
        others = (task for task in self.tasks if keys[0] != "tasks" and task != own)
        return next(((task, "a task's") for task in others if task.lower() == name.lower()), None)

    def _check_task_names(self) -> None:
        seen: dict[str, str] = {}
        for name in self.tasks:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                raise Problem(
                    f"the tasks {shown(other)} and {shown(name)} differ in capitals alone",
                    fix="rename one: their files would be one on some disks",
                    keys=("tasks", name),
                )

    def _check_sources(self) -> None:
        if self.targets == ():
            raise Problem("the list is empty", fix="name a task, or remove targets", keys=("targets",))
        for index, source in enumerate(self.sources or ()):
            if source.task_name not in self.tasks:
                raise Problem(
                    f"the source {shown(source.name)} names no task",
                    fix=did_you_mean(source.task_name, self.tasks),
                    keys=("sources", index),
                )
            if not self.tasks[source.task_name].data.has_train:
                raise Problem(
                    f"the task {shown(source.task_name)} has no train rows",
                    fix=f"give tasks.{source.task_name}.data train rows, or take it out of sources",
                    keys=("sources", index),
                )
        names = [s.name for s in self._entries()]
        if not names and (self.controls or self.mixes):
            raise Problem("no task has train rows", fix="give one a train split", keys=("sources",))
        for source_name, controls in self.controls.items():
            if source_name not in names:
                raise Problem(
                    f"the control's source {shown(source_name)} is not among the sources",
                    fix=did_you_mean(source_name, names),
                    keys=("controls", source_name),
                )
            no_repeat(controls, "control", ("controls", source_name))
            for index, control in enumerate(controls):
                check_name("control", control, ("controls", source_name, index))

    def _check_copies(self) -> None:
        for name, task in self.tasks.items():
            if task.copy_of is not None and (task.copy_of not in self.tasks or task.copy_of == name):
                raise Problem(
                    f"{shown(task.copy_of)} is no other task",
                    fix=did_you_mean(task.copy_of, [other for other in self.tasks if other != name]),
                    keys=("tasks", name, "copy_of"),
                )

    def _check_run_sd(self) -> None:
        if isinstance(self.run_sd, dict):
            for name in self.run_sd:
                if name not in self.target_names():
                    fix = did_you_mean(name, self.target_names())
                    raise Problem(f"{shown(name)} is no target", fix=fix, keys=("run_sd", name))
            lacking = [name for name in self.target_names() if name not in self.run_sd]
            if lacking:
                raise Problem(f"no value for {', '.join(lacking)}", fix="give one to every target", keys=("run_sd",))

    def _check_trained_on(self) -> None:
        for name, model in self.models.items():
            keys: KeyPath = ("models", name, "trained_on")
            for index, task in enumerate(model.trained_on or ()):
                if task not in self.tasks:
                    fix = f"{did_you_mean(task, self.tasks)}; what it was trained on besides is left out"
                    raise Problem(f"{shown(task)} is no task of this study", fix=fix, keys=(*keys, index))
            no_repeat(model.trained_on or (), "task", keys)

    def _check_targets(self) -> None:
        for index, name in enumerate(self.targets or ()):
            if name not in self.tasks:
                raise Problem(
                    f"the target {shown(name)} names no task",
                    fix=did_you_mean(name, self.tasks),
                    keys=("targets", index),
                )
            if not self.tasks[name].data.has_eval:
                raise Problem(
                    f"the task {shown(name)} has no eval rows",
                    fix=f"give tasks.{name}.data eval rows, or take it out of targets",
                    keys=("targets", index),
                )
        no_repeat(self.targets or (), "target", ("targets",))
        if not self.target_names():
            raise Problem("there is no target: no task has eval rows", fix="give one task eval rows", keys=("targets",))

    def _check_mixes(self) -> None:
        names = [s.name for s in self.resolved_sources()]
        for mix_name, mix in self.mixes.items():
            for index, name in enumerate(mix.named or ()):
                if name not in names:
                    place = ("of", index) if mix.rows is None else ("rows", name)
                    raise Problem(
                        f"the mix {shown(mix_name)} names an unknown source {shown(name)}",
                        fix=did_you_mean(name, names),
                        keys=("mixes", mix_name, *place),
                    )
            for index, name in enumerate(mix.hold_out):
                if name not in self.tasks:
                    raise Problem(
                        f"the mix {shown(mix_name)} holds out an unknown task {shown(name)}",
                        fix=did_you_mean(name, self.tasks),
                        keys=("mixes", mix_name, "hold_out", index),
                    )
            kept = [source.name for source in self.mix_sources(mix_name)]
            if lost := next((name for name in mix.rows or () if name not in kept), None):
                raise Problem(
                    f"the mix {shown(mix_name)} takes rows of {shown(lost)} and holds its task out",
                    fix="take it out of rows, or out of hold_out",
                    keys=("mixes", mix_name, "rows", lost),
                )
            if not self.mix_sources(mix_name):
                raise Problem(
                    f"the mix {shown(mix_name)} holds out everything it is made of",
                    fix="hold out fewer tasks",
                    keys=("mixes", mix_name, "hold_out"),
                )
            if mix.per_cluster is not None:
                for source in self.mix_sources(mix_name):
                    if "cluster" not in self.tasks[source.task].tags:
                        raise Problem(
                            f"per_cluster needs a cluster for every task, and {shown(source.task)} has none",
                            fix=f"add tags: {{cluster: ...}} to tasks.{source.task}",
                            keys=("mixes", mix_name, "per_cluster"),
                        )

    def model_post_init(self, context: Any) -> None:
        """Gives every part its key path, so that errors of a study built in Python name it too."""
        super().model_post_init(context)
        attach(self, None, ())

    @property
    def root(self) -> Path:
        """The folder that relative paths start from: the study file's, or the working directory."""
        return self._root

    def with_root(self, root: Path) -> StudyConfig:
        """The same study with relative paths starting from ``root``."""
        copy = self.model_copy()
        copy._root = root
        return copy

    def changed(self, changes: Sequence[str]) -> StudyConfig:
        """The same study with some keys changed: ``recipe.rank=16`` (see ``config.changes``)."""
        if not changes:
            return self
        plain = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        data, places = with_changes(plain, Places("study"), changes)
        return settings_from(StudyConfig, data, places, self.root).with_root(self.root)

    def _entries(self) -> tuple[SourceConfig, ...]:
        if self.sources is not None:
            return self.sources
        return tuple(SourceConfig(name=n) for n, t in self.tasks.items() if t.data.has_train)

    def resolved_sources(self) -> tuple[ResolvedSource, ...]:
        """Every source in order, each followed by its controls, with its own recipe."""
        made_of = (self.sources, self.controls, self.recipe, self.tasks)
        # A copy with other sources carries what was found of these.
        if self._resolved is None or any(a is not b for a, b in zip(self._resolved[0], made_of, strict=True)):
            self._resolved = made_of, self._resolve()
        return self._resolved[1]

    def _resolve(self) -> tuple[ResolvedSource, ...]:
        found: list[ResolvedSource] = []
        for entry in self._entries():
            recipe = self.recipe.changed(entry.change)
            found.append(ResolvedSource(entry.name, entry.task_name, None, recipe))
            for control in self.controls.get(entry.name, ()):
                found.append(ResolvedSource(f"{entry.name}.{control}", entry.task_name, control, recipe))
        return tuple(found)

    def target_names(self) -> tuple[str, ...]:
        """The tasks that models are evaluated on."""
        if self.targets is not None:
            return self.targets
        return tuple(n for n, t in self.tasks.items() if t.data.has_eval)

    def mix_sources(self, name: str) -> tuple[ResolvedSource, ...]:
        """The sources a mix is made of: those it names (or all but controls), less the tasks it holds out."""
        mix = self.mixes[name]
        sources = self.resolved_sources()
        if mix.named is None:
            chosen = [s for s in sources if s.control is None]
        else:
            chosen = [s for s in sources if s.name in mix.named]
        return tuple(s for s in chosen if s.task not in mix.hold_out)


def load_config(
    path: str | Path, root: Path | None = None, *, plugins: bool = True, changes: Sequence[str] = ()
) -> StudyConfig:
    """Reads a study file; relative paths in it start from ``root``, by default its folder.

    Without ``plugins`` those it names are not imported; what they add is known only if they are already. ``changes``
    are keys with other values than the file's: ``recipe.rank=16``.

    Raises:
        TraitscopeError: naming the file, the line, the key, what is wrong and what to write instead.
    """
    path = Path(path)
    data, places = read_yaml(path)
    if not isinstance(data, Mapping):
        raise TraitscopeError(
            "this is not a study file: " + ("it is empty" if data is None else "it has no keys"),
            where=str(path),
            fix="start with `study: name`; `traitscope init` writes a commented one",
        )
    data, places = with_changes(data, places, changes)
    root = path.parent if root is None else root
    config = settings_from(StudyConfig, data, places, root, plugins=plugins)
    config._root = root
    return config
