"""A study that nobody wrote: a base, adapters and models of others, and tasks, named one by one; nothing is trained."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitscope.config import StudyConfig
from traitscope.config.settings import settings_from
from traitscope.config.yamlfile import Places, read_yaml
from traitscope.errors import TraitscopeError
from traitscope.store.adapters import CONFIG as ADAPTER
from traitscope.store.fingerprints import fingerprint
from traitscope.store.model_config import CONFIG as MODEL
from traitscope.store.models import BUILT_IN, locate
from traitscope.texts import shown

# Sections that a study file's tasks may need beside them.
_WITH_TASKS = ("plugins", "targets")
_LONGEST = 60
# Letters that Unicode does not take apart.
_LETTERS = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ı": "i", "ß": "ss"}
    | {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"}
)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What was named, as a study.

    Attributes:
        config: with every row that its run folder knows and that is still there, so that earlier ones are kept.
        folder: the run folder.
        rows: names of the rows that were named now, in their order.
    """

    config: StudyConfig
    folder: Path
    rows: tuple[str, ...]


def unwritten_study(
    tasks: Path, *, base: str | None = None, adapters: Sequence[str] = (), models: Sequence[str] = (), out: Path | None
) -> Unwritten:
    """Rows without a study file.

    Args:
        tasks: a study file, whose tasks are taken; a file with ``tasks:``; or a file of nothing but tasks.
        base: the untuned model; by default the study file's.
        adapters: folders and Hub ids of PEFT adapters; folders of such folders, run folders and globs stand for all in
            them.
        models: the same of full models.
        out: the run folder; by default ``runs/eval-<tasks>-<hash>`` in the working directory, the same for the same
            base and the same file of tasks.

    Raises:
        TraitscopeError: something is not there or is of the other kind, no base is named, or the run folder is one of a
            study that trains.
    """
    tasks = tasks / "study.yaml" if tasks.is_dir() else tasks
    data, places, said = _read_tasks(tasks)
    base_entry = {"model": _placed(base)} if base is not None else said
    if base_entry is None:
        raise TraitscopeError("no base is named", where="--base", fix="add --base with a folder, a Hub id or: embedded")
    root = tasks.parent
    folder = out or Path("runs") / _default_name(base_entry, tasks)
    found = [*_expanded(adapters, ADAPTER, "--adapters"), *_expanded(models, MODEL, "--models")]
    named = list(dict.fromkeys(_placed(one) for one in found))
    before = _recorded(folder)
    rows = _row_names(named, data["tasks"], before)
    entries = {**before, **{row: before.get(row, {"model": model}) for row, model in zip(rows, named, strict=True)}}
    plain = {
        "study": _plain(folder.resolve().name, "study"),
        "base": base_entry,
        **data,
        "sources": [],
        "models": entries,
    }
    config = settings_from(StudyConfig, plain, places, root).with_root(root)
    return Unwritten(config, folder, tuple(rows))


def _read_tasks(path: Path) -> tuple[dict[str, Any], Places, Any]:
    """The sections about tasks, where they stand in the file, and the base that it names, if it does."""
    data, places = read_yaml(path)
    if not isinstance(data, Mapping) or not data:
        raise TraitscopeError(
            "holds no tasks", where=str(path), fix="write `tasks: {name: {data: ..., prompt: ..., answer: ...}}`"
        )
    if "tasks" in data:
        kept = {key: data[key] for key in ("tasks", *_WITH_TASKS) if key in data}
        if not isinstance(kept["tasks"], Mapping):
            raise TraitscopeError("holds no tasks", where=places.where(("tasks",)), fix="write a mapping of tasks")
        return kept, places, _moved(data.get("base"), path.parent)
    if "study" in data or "base" in data:
        raise TraitscopeError("is a study file without tasks", where=str(path), fix="add tasks: to it")
    lines = {("tasks", *keys): line for keys, line in places.lines.items()}
    return {"tasks": data}, replace(places, lines=lines), None


def _moved(base: Any, root: Path) -> Any:
    """A study file's base with its path made whole: other paths start from the working directory."""
    entry = {"model": base} if isinstance(base, str) else base
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        return entry
    return {**entry, "model": _placed(entry["model"], root)}


def _placed(model: str, root: Path = Path()) -> str:
    """A model by a name that means the same wherever it is read: a whole path, a Hub id, a built-in name."""
    return model if model in BUILT_IN else str(locate(model, root))


def _default_name(base: Any, tasks: Path) -> str:
    return f"eval-{_plain(tasks.resolve().stem, 'tasks')[:_LONGEST]}-{fingerprint([base, str(tasks.resolve())])[:8]}"


def _expanded(names: Iterable[str], file: str, option: str) -> list[str]:
    """What is named, one by one: globs, folders of folders and run folders are opened."""
    found: list[str] = []
    for name in names:
        paths = [name]
        if glob.has_magic(name) and not os.path.exists(name):  # noqa: PTH110 - pathlib raises for a name that is too long
            pattern = Path(name).expanduser()
            paths = sorted(map(str, Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))))
            if not paths:
                raise TraitscopeError(f"nothing matches {shown(name)}", where=option, fix="check the pattern")
        for path in paths:
            found += _of_folder(path, file, option)
    return found


def _of_folder(name: str, file: str, option: str) -> list[str]:
    place = locate(name)
    if not isinstance(place, Path) or place.is_file() or name in BUILT_IN or (place / file).is_file():
        if isinstance(place, Path) and file == ADAPTER and not (place / file).is_file():
            raise TraitscopeError("is a full model, no adapter", where=f"{option} {name}", fix="name it with --models")
        if isinstance(place, Path) and file == MODEL and (place / ADAPTER).is_file():
            raise TraitscopeError(
                f"holds a model and an adapter ({ADAPTER})",
                where=f"{option} {name}",
                fix="move the adapter's files to a folder of their own",
            )
        return [name]
    word, other = ("adapter", "--models") if file == ADAPTER else ("model", "--adapters")
    if (place / (MODEL if file == ADAPTER else ADAPTER)).is_file():
        kind = "a full model" if file == ADAPTER else "an adapter"
        raise TraitscopeError(f"is {kind}, no {word}", where=f"{option} {name}", fix=f"name it with {other}")
    inner = place / "adapters" if file == ADAPTER and (place / "adapters").is_dir() else place
    found = [str(path.parent) for path in sorted(inner.glob(f"*/{file}"))]
    if not found:
        raise TraitscopeError(
            f"holds no {file}, and no folder with one",
            where=f"{option} {name}",
            fix=f"name the folder that save_pretrained of the {word} wrote",
        )
    return found


def _recorded(folder: Path) -> dict[str, Any]:
    """The rows that a run folder was filled with before, by name, as far as they are still there.

    Raises:
        TraitscopeError: it is the run folder of a study that trains.
    """
    file = folder / "study.yaml"
    if not file.is_file():
        return {}
    said, _ = read_yaml(file)
    said = said if isinstance(said, Mapping) else {}
    if said.get("sources") != [] or said.get("mixes"):
        raise TraitscopeError(
            "is the run folder of a study that trains",
            where=str(folder),
            fix="add the rows to that study's file, under models:, or name another folder with --out",
        )
    kept = {}
    entries = said.get("models")
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        whole = {"model": entry} if isinstance(entry, str) else entry
        if isinstance(whole, Mapping) and isinstance(whole.get("model"), str) and _is_there(whole["model"]):
            kept[str(name)] = dict(whole)
    return kept


def _is_there(model: str) -> bool:
    try:
        locate(model)
    except TraitscopeError:
        return False
    return not Path(model).is_absolute() or Path(model).exists()


def _row_names(models: Sequence[str], tasks: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """A name for every model: the one it had, or the last part of its path, with as many before as tell it apart.

    One that is told apart by the case of its letters alone gets a hash of its folder's name.
    """
    known = {entry["model"]: name for name, entry in before.items()}
    taken = {"base", *(str(task).lower() for task in tasks), *(name.lower() for name in before)}
    fresh = [model for model in models if model not in known]
    names = {model: known[model] for model in models if model in known}
    parts = {model: [part for part in re.split(r"[/\\]", model) if part] for model in fresh}
    for model, own in parts.items():
        others = [other for one, other in parts.items() if one != model]
        n = next((n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own))
        if _row_name(own[-n:]).lower() in taken:
            n += 1
        name = _row_name(own[-n:])
        alike = taken | {_row_name(other[-n:]).lower() for other in others}
        # More folders would not tell `a` from `A`, and would make a name of the machine's places.
        sizes = iter((4, 8, 16, 64))
        while name.lower() in alike:
            name = f"{_row_name(own[-n:])}-{fingerprint(own[-n:])[: next(sizes)]}"
        taken.add(name.lower())
        names[model] = name
    return [names[model] for model in models]


def _row_name(parts: Sequence[str]) -> str:
    return _plain("-".join(parts), "row")[-_LONGEST:].lstrip("-_.")


def _plain(text: str, word: str) -> str:
    """A text as a row or a study may be called, always the same; with a hash where letters have none in its place.

    Args:
        text: of any letters. word: what it begins with where nothing of it is left.
    """
    spread = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    letters = "".join(one for one in spread if not unicodedata.combining(one))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", letters).strip("-._")
    whole = name and not any(one.isalpha() and not one.isascii() for one in letters)
    return name if whole else f"{name or word}-{fingerprint(text)[:4]}"
