"""All that would stop a study in its middle, found before anything runs: by ``check``, and by a run that begins."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from traitscope.config import RecipeConfig
from traitscope.config.yamlfile import KeyPath
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.sandbox import find_isolation
from traitscope.store.causal import Skeleton, check_model, check_tokens
from traitscope.store.hub_errors import NotOnThisDisk, chain
from traitscope.store.models import adapter_folder, other_base
from traitscope.store.places import check_writable
from traitscope.store.targets import resolve_targets
from traitscope.study.context import Context
from traitscope.study.fitting import refusal
from traitscope.study.tracking import trackers_of
from traitscope.study.units import mix_recipe
from traitscope.tasks.chat import check_variables
from traitscope.tasks.coding import code_of, not_allowed
from traitscope.tasks.task import Task
from traitscope.texts import count_of

# Problems that are told in full.
MOST = 20
# Bytes of address space that the libraries and a tiny model take.
LEAST_SPACE = 2_000_000_000


class Found:
    """Problems as they are found; one and the same is told once."""

    def __init__(self) -> None:
        self.errors: list[TraitscopeError] = []

    @contextmanager
    def kept(self) -> Iterator[None]:
        """An error inside is kept, and what follows goes on."""
        try:
            yield
        except TraitscopeError as error:
            if str(error) not in map(str, self.errors):
                self.errors.append(error)

    def raise_all(self, where: str) -> None:
        """Raises TraitscopeError where there is a problem: it itself, or all of them in one of the place ``where``."""
        if not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        told = "".join(f"\n- {error}" for error in self.errors[:MOST])
        more = f"\n- and {len(self.errors) - MOST} more" if len(self.errors) > MOST else ""
        raise TraitscopeError(
            f"{count_of(len(self.errors), 'problem')} must be mended first:{told}{more}",
            where=where,
            fix="mend each as it says",
        ) from None


def check_study(study: Context) -> None:
    """Sees that a study's models are whole, that its rows can be read, and that recipes and adapters fit the base.

    No weights are loaded. A model that is still on the Hub is looked at once it is here.

    Raises:
        TraitscopeError: with all that is wrong; a run would end at the first of it.
    """
    check_places(study)
    check_rest(study, check_models(study))


def check_here(study: Context) -> list[TraitscopeError]:
    """The part of ``check_study`` that needs nobody's answer; gives an error for each thing that this disk lacks.

    Raises:
        TraitscopeError: with all that is wrong with what lies here.
    """
    found = Found()
    base = _check_models(study, found)
    if base is not None:
        _check_recipes(study, base, found)
    _check_rows(study, found)
    lacking = [one for one in found.errors if any(isinstance(part, NotOnThisDisk) for part in chain(one))]
    found.errors = [one for one in found.errors if one not in lacking]
    found.raise_all(study.config.where())
    return lacking


def check_code(study: Context, tasks: Iterable[str]) -> None:
    """Sees that programs which models write may be run, and can be kept apart, where some of the tasks are of code.

    Raises:
        TraitscopeError: nobody allowed it, or there is no way to do it on this machine.
    """
    names = [name for name in dict.fromkeys(tasks) if code_of(study.data.tasks[name]) is not None]
    if not names:
        return
    if not study.allow_code:
        raise not_allowed(names, study.config.where("tasks", names[0], "answer", "generate", "code"))
    # Another backend computes elsewhere, and says so itself where it cannot.
    if study.given_backend is None:
        find_isolation()


def check_places(study: Context) -> None:
    """The part of ``check_study`` that a study with nothing missing does not need: where it writes and computes."""
    found = Found()
    with found.kept():
        check_writable(study.folder.root)
    with found.kept():
        trackers_of(study)
    # Another backend computes elsewhere.
    if study.given_backend is None and study.on is None:
        # Imports torch.
        from traitscope.engine.loading import pick_device

        with found.kept():
            pick_device(study.config.compute.device)
    found.raise_all(study.config.where())


def check_models(study: Context) -> Skeleton | None:
    """The models' part of ``check_study``; the base without weights, None where it is not on this disk."""
    check_address_space()
    found = Found()
    base = _check_models(study, found)
    found.raise_all(study.config.where())
    return base


def check_address_space() -> None:
    """Refuses a limit under which the libraries alone could not be loaded: some of them hang there, or crash.

    Raises:
        TraitscopeError: this process may use less than ``LEAST_SPACE``.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= limit < LEAST_SPACE:
        raise TraitscopeError(
            f"this process may use {limit / 1e9:.1f} GB of address space, and torch with its companions takes "
            f"{LEAST_SPACE / 1e9:.0f} GB before any model is loaded",
            where="ulimit -v",
            fix=f"raise the limit: ulimit -v {LEAST_SPACE // 1000} or more",
        )


def check_rest(study: Context, base: Skeleton | None) -> None:
    """The other part: rows are measured with the tokenizers of models that are in order."""
    found = Found()
    if base is not None:
        _check_recipes(study, base, found)
    _check_rows(study, found)
    found.raise_all(study.config.where())


def _check_models(study: Context, found: Found) -> Skeleton | None:
    base = None
    with found.kept():
        source = study.pinned("base")
        if (base := check_model(source)) is not None:
            check_tokens(study.data.readers[0].tokenizer, base, source)
    for name in study.config.models:
        with found.kept():
            source = study.pinned(name)
            if source.onto is None and (folder := adapter_folder(source)) is not None:
                _check_adapter(name, folder, base, study.report_to.note)
                if (named := other_base(folder, study.asked(study.config.base))) is not None:
                    study.report_to.note(f"{name} was trained on {named}, and is scored on {study.config.base.model}")
            elif (other := check_model(source)) is not None:
                reader = next(reader for reader in study.data.readers if reader.name == name)
                check_tokens(reader.tokenizer, other, source)
    return base


def _check_adapter(name: str, folder: Path, base: Skeleton | None, note: Callable[[str], None]) -> None:
    # Imports torch.
    from traitscope.engine import Adapter
    from traitscope.engine.peft_folder import read_folder, targets
    from traitscope.store.peft_fields import check_folder

    check_folder(folder)
    if base is None:
        return
    Adapter.load(folder, base)
    saved = read_folder(folder, base)
    meant = [module for module in base.linear_names if targets(saved.config, module, base)]
    if lacking := [module for module in meant if module not in saved.pairs]:
        note(
            f"{name} has no weights for {len(lacking)} of the {len(meant)} linear layers that its configuration names "
            f"({lacking[0]}), which stay as the base has them: its file is damaged, or of a smaller model"
        )


def _check_recipes(study: Context, base: Skeleton, found: Found) -> None:
    config = study.config
    places: dict[str, KeyPath] = {source.name: ("sources", index) for index, source in enumerate(config.sources or ())}
    recipes = [(places.get(source.name, ("recipe",)), source.recipe) for source in config.resolved_sources()]
    recipes += [(("mixes", name), mix_recipe(config, name)) for name in config.mixes]
    for place, recipe in recipes:
        own = (recipe.targets, recipe.layers) != (config.recipe.targets, config.recipe.layers)
        with found.kept():
            _check_recipe(recipe, base, partial(config.where, *(place if own else ("recipe",))))


def _check_recipe(recipe: RecipeConfig, base: Skeleton, where: Callable[[str], str]) -> None:
    # Where the layers were not found, their number is known all the same.
    targets = recipe.targets if base.linear_names else "all-linear"
    try:
        resolve_targets(base, targets, recipe.layers)
    except TraitscopeError as error:
        key = str(error.where).removeprefix("recipe.")
        raise TraitscopeError(error.what, where=where(key), fix=error.fix) from None


def _check_rows(study: Context, found: Found) -> None:
    data = study.data
    for name, task in data.tasks.items():
        with found.kept():
            loaded = data.load(name)
            if task.config.chat_variables:
                check_variables(task, data.readers[0].tokenizer)
            for split in data.splits(name):
                error = refusal(task, split, data.overlong(name, split))
                if error is not None:
                    raise error
                _refuse_no_rows(task, split, getattr(loaded, split.split()[0]))
    if found.errors:
        return
    # What is trained: the rows that are left, controls, mixes.
    for source in study.config.resolved_sources():
        with found.kept():
            data.train(source)
    for mix in study.config.mixes:
        with found.kept():
            data.mix(mix)


def _refuse_no_rows(task: Task, split: str, rows: Sequence[Example]) -> None:
    if not rows:
        role, left_out = ("evaluated", "targets") if split == "eval" else ("trained on", "sources")
        raise TraitscopeError(
            f"it has no {split} rows, and is {role}",
            where=task.where("data"),
            fix=f"add rows, write {split.split()[0]}: 1 or more, or name the {left_out} and leave it out",
        )
