"""A belt as a folder of its own: PEFT adapters, the router, what they were judged at, how to serve them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from traitscope._version import __version__
from traitscope.errors import TraitscopeError
from traitscope.jsontables import table_to_json
from traitscope.store.adapters import CARD, CONFIG, WEIGHTS
from traitscope.store.fingerprints import hash_file, model_files
from traitscope.store.models import BUILT_IN, Identity, cached_folder
from traitscope.study.belt_file import FILE, FORMAT, ROUTER, AdapterEntry, BeltFile, readme
from traitscope.study.context import Context
from traitscope.study.merging import adapter_path

if TYPE_CHECKING:
    from traitscope.belt import BeltFindings


def export_belt(study: Context, found: BeltFindings, out: Path | str) -> None:
    """Writes ``belt.json``, the adapters, the router's arrays and a README; no file holds a path of this machine.

    Args:
        study: whose belt it is.
        found: the belt.
        out: a folder that is not there, is empty, or holds an earlier belt, which is replaced once all is written.

    Raises:
        TraitscopeError: the belt has no adapter, the folder holds something else, or it cannot be written.
    """
    if not found.choice.models:
        raise TraitscopeError("no adapter is in the belt", where="belt", fix="allow less --loss, or give --size 1")
    for name in found.choice.models:
        if not (adapter_path(study, name) / WEIGHTS).is_file():
            raise TraitscopeError("its weights are gone", where=f"adapter {name}", fix="make the belt again")
    base = study.loaded_base()
    with _written(Path(out)) as folder:
        belt = _content(study, found, base, _copied_adapters(study, found, base, folder))
        router = found.routers.get(found.rule)
        if router is not None:
            from safetensors.numpy import save

            arrays = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in router.arrays.items()}
            (folder / ROUTER).write_bytes(save(arrays))
            belt["router"] = {
                "rule": router.rule,
                "places": list(router.places),
                "serves": list(router.serves),
                "far": router.far,
                "fallback": router.fallback,
                "arrays": ROUTER,
                "sha256": hash_file(folder / ROUTER),
            }
        (folder / CARD).write_text(readme(belt), encoding="utf-8")
        (folder / FILE).write_text(
            json.dumps(belt, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


@contextmanager
def _written(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``out`` when all is written.

    Raises:
        TraitscopeError: ``out`` holds something else than a belt, or cannot be written.
    """
    try:
        out = check_place(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=".belt-") as place:
            folder, before = Path(place) / "belt", Path(place) / "before"
            folder.mkdir()
            yield folder
            if out.exists():
                out.rename(before)
            try:
                folder.rename(out)
            except OSError:
                if before.exists():
                    before.rename(out)
                raise
    except (OSError, ValueError) as error:
        # A path with a null character is no OSError.
        if isinstance(error, TraitscopeError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise TraitscopeError(
            f"cannot be written: {reason}", where=str(out), fix="name another folder with --out"
        ) from error


def check_place(out: Path) -> Path:
    """The folder that a place of a belt is, links followed.

    Raises:
        TraitscopeError: it is there and holds no belt, or is a link that leads nowhere.
    """
    found = Path(os.path.realpath(out))
    if os.path.lexists(found) and not _replaceable(found):
        what = "is a link that leads nowhere" if found.is_symlink() else "is there and is no belt"
        raise TraitscopeError(what, where=str(out), fix="name another folder with --out")
    return found


def _replaceable(out: Path) -> bool:
    """Whether a folder is empty or holds a belt and nothing that no export wrote: nothing else is ever removed."""
    if not out.is_dir():
        return False
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not files:
        return not any(out.iterdir())
    try:
        names = list(json.loads((out / FILE).read_text(encoding="utf-8"))["adapters"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    own = {FILE, ROUTER, CARD, *(f"adapters/{name}/{file}" for name in names for file in (WEIGHTS, CONFIG, CARD))}
    return files <= own


def _content(study: Context, found: BeltFindings, base: Identity, adapters: dict[str, AdapterEntry]) -> BeltFile:
    located = base.source().resolved()
    files = located if isinstance(located, Path) else cached_folder(located, base.revision)
    if files is None:
        raise TraitscopeError(
            "its files are not on this machine",
            where=f"model {base.model}",
            fix="run `traitscope eval`, which loads it",
        )
    local = isinstance(located, Path) and base.model not in BUILT_IN
    return {
        "format": FORMAT,
        "traitscope": __version__,
        "study": study.config.study,
        "base": {
            "model": _public(base),
            "revision": base.revision,
            "dtype": base.dtype,
            "local": local,
            "files": model_files(files),
        },
        "adapters": adapters,
        "loss": float(found.choice.loss),
        "basis": found.choice.basis,
        "notes": list(found.choice.notes),
        "judged": {name: table_to_json(table) for name, table in found.tables().items()},
        "router": None,
    }


def _public(base: Identity) -> str:
    """The base's name without a path: a Hub id, a built-in name, or a folder's last part."""
    located = base.source().located()
    return located.name if isinstance(located, Path) and base.model not in BUILT_IN else base.model


def _copied_adapters(study: Context, found: BeltFindings, base: Identity, out: Path) -> dict[str, AdapterEntry]:
    adapters: dict[str, AdapterEntry] = {}
    for name in found.choice.models:
        folder, source = out / "adapters" / name, adapter_path(study, name)
        folder.mkdir(parents=True)
        config, card = shared_adapter(source, _public(base) if isinstance(base.source().located(), Path) else None)
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        (folder / CARD).write_text(card)
        serves = [task for task, model in found.choice.serves.items() if model == name]
        rank = max([config["r"], *config.get("rank_pattern", {}).values()])
        files = {file: hash_file(folder / file) for file in (WEIGHTS, CONFIG)}
        adapters[name] = {"folder": f"adapters/{name}", "files": files, "rank": rank, "serves": serves}
        if name in found.merged:
            adapters[name]["merged_from"] = dict(found.merged[name])
    return adapters


def shared_adapter(source: Path, public: str | None) -> tuple[dict[str, Any], str]:
    """Configuration and card of an adapter's folder, without a path of this machine.

    Args:
        source: the folder.
        public: the name in place of the base's path; None for a base on the Hub, whose name everybody may read.
    """
    config = dict(json.loads((source / CONFIG).read_text()))
    card = (source / CARD).read_text() if (source / CARD).is_file() else ""
    if public is not None:
        config["base_model_name_or_path"] = public
        words = public.replace("\\", r"\\")
        card = re.sub(r"^base_model: .*$", f"base_model: {words}", card, flags=re.MULTILINE)
        card = re.sub(r"^\| base \| .*, revision ", f"| base | {words}, revision ", card, flags=re.MULTILINE)
        card = re.sub(r'from_pretrained\("[^"\n]*"', 'from_pretrained("FOLDER"', card)
    return config, card
