"""What an order needs of the run's disk, brought to a machine that does not see it: models, adapters, plugins.

Files are named by what they hold. A machine that has them already, because it shares the disk or was sent them before,
is sent nothing.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from traitscope.compute.orders import Adapted, Align, Capture, Differentiate, Evaluate, Merge, Train
from traitscope.compute.worker import Inspect, Message, PlanBanks, PlanScoring, Start, Stop
from traitscope.errors import TraitscopeError
from traitscope.store.cache import ELSEWHERE, cache_folder, only_one, remove_damaged
from traitscope.store.files import FilesMark, disk_errors, files_mark, move_folder, sweep, temporary
from traitscope.store.fingerprints import fingerprint, hash_file, model_files
from traitscope.store.models import BUILT_IN, ModelSource

# Bytes of a file that travel together.
PIECE_BYTES = 64 << 20
# Adapters that a worker keeps beside those of the order in hand.
KEPT_BYTES = 4 << 30

Kind = Literal["model", "adapter", "plugin"]
Piece = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files of the run's disk that an order needs.

    Attributes:
        kind: a model is kept for every later run of that machine, an adapter while there is room for it.
        place: where they lie on the run's machine: a folder, or one file.
        mark: hash of names and contents.
        files: sha256 by name, as ``hash_file`` gives it.
        single: whether the place is a file.
    """

    kind: Kind
    place: Path
    mark: str
    files: Mapping[str, str]
    single: bool

    def pieces(self) -> Iterator[Piece]:
        """The files' content, in their order, in pieces that memory bears."""
        for name in self.files:
            with _file_of(self.place, name, self.single).open("rb") as file:
                # An empty file has one piece too.
                piece = file.read(PIECE_BYTES)
                yield name, piece
                while piece := file.read(PIECE_BYTES) if piece else b"":
                    yield name, piece


class Packer:
    """Makes parcels; a place whose files have not changed is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, Path], tuple[FilesMark, Parcel]] = {}

    def parcel(self, kind: Kind, place: Path) -> Parcel:
        """The parcel of a place.

        Raises:
            TraitscopeError: there is nothing, or a pipe lies among the files.
        """
        mark = files_mark(place)
        known = self._known.get((kind, place))
        # The mark of a folder is of its own files; those of a plugin's subfolders are few and read again.
        if known is None or known[0] != mark or kind == "plugin":
            known = self._known[kind, place] = mark, _packed(kind, place)
        return known[1]


def _packed(kind: Kind, place: Path) -> Parcel:
    if not place.exists():
        raise TraitscopeError("is not there any more", where=str(place), fix="put it back, or run the command again")
    if place.is_file():
        files = {place.name: hash_file(place)}
    elif kind == "model":
        files = model_files(place)
    else:
        found = place.glob("adapter_*") if kind == "adapter" else place.rglob("*")
        kept = (path for path in sorted(found) if path.is_file() and "__pycache__" not in path.parts)
        files = {path.relative_to(place).as_posix(): hash_file(path) for path in kept}
    return Parcel(kind, place, fingerprint([kind, files]), files, place.is_file())


def _file_of(place: Path, name: str, single: bool) -> Path:
    return place if single else place / name


class Shelf:
    """What one worker was sent: models in a folder that all workers of the machine share, the rest in one of its own.

    Args:
        shared: by default ``shipped`` in traitscope's cache.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.shared = cache_folder() / "shipped" if shared is None else shared
        with disk_errors(self.shared, elsewhere=ELSEWHERE):
            self.shared.mkdir(parents=True, exist_ok=True)
            sweep(self.shared)
            # Its name says whose it is: what a killed worker left is swept up by the next one.
            self.own = temporary(self.shared / "worker")
            self.own.mkdir()
        self._packer = Packer()
        self._own: OrderedDict[str, int] = OrderedDict()

    def find(self, parcel: Parcel) -> Path | None:
        """Where its files lie on this machine: at the very place of the run's machine, or where they were put.

        They are read when they are first asked for, and again when they were changed: damage counts as not there.
        """
        found = next((place for place in (parcel.place, self._inside(parcel)) if self._holds(place, parcel)), None)
        if found is not None and parcel.mark in self._own:
            self._own.move_to_end(parcel.mark)
        return found

    def _holds(self, place: Path, parcel: Parcel) -> bool:
        """Whether a parcel's files lie in a place, whole."""
        try:
            return self._packer.parcel(parcel.kind, place).mark == parcel.mark
        except (OSError, TraitscopeError):
            return False

    def store(self, parcel: Parcel, pieces: Iterable[Piece], needed: Iterable[str] = ()) -> Path:
        """Writes a parcel's files and gives their place; of several workers that are sent one model, one writes it.

        Args:
            pieces: taken only by the worker that writes. needed: marks of what must not be dropped for it.

        Raises:
            TraitscopeError: the files changed on their way, or the disk is full.
        """
        folder = self._folder(parcel)
        with only_one(self.shared / f"{parcel.mark}.lock") if parcel.kind == "model" else nullcontext():
            if not self._holds(self._inside(parcel), parcel):
                with disk_errors(folder, elsewhere=ELSEWHERE):
                    # A worker on another machine with the same home may have taken it for a leftover.
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    remove_damaged(folder)
                    made = temporary(folder)
                    try:
                        size = _write(made, parcel, pieces)
                        move_folder(made, folder)
                    except BaseException:
                        shutil.rmtree(made, ignore_errors=True)
                        raise
                if parcel.kind != "model":
                    self._own[parcel.mark] = size
                    self._make_room({parcel.mark, *needed})
        return self._inside(parcel)

    def close(self) -> None:
        """Removes what is this worker's own."""
        shutil.rmtree(self.own, ignore_errors=True)

    def _make_room(self, needed: set[str]) -> None:
        for mark in [mark for mark in self._own if mark not in needed]:
            if sum(self._own.values()) <= KEPT_BYTES:
                return
            del self._own[mark]
            shutil.rmtree(self.own / mark, ignore_errors=True)

    def _folder(self, parcel: Parcel) -> Path:
        return (self.shared if parcel.kind == "model" else self.own) / parcel.mark

    def _inside(self, parcel: Parcel) -> Path:
        """A file, or a folder under the name it had: a plugin's name is its module's."""
        return self._folder(parcel) / parcel.place.name


def _write(made: Path, parcel: Parcel, pieces: Iterable[Piece]) -> int:
    inside = made / parcel.place.name
    size = 0
    for name, data in pieces:
        assert name in parcel.files, name
        path = _file_of(inside, name, parcel.single)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            size += file.write(data)
    for name, expected in parcel.files.items():
        path = _file_of(inside, name, parcel.single)
        if not path.is_file() or hash_file(path) != expected:
            raise TraitscopeError(
                "was changed while it was sent to a machine of the cluster",
                where=str(_file_of(parcel.place, name, parcel.single)),
                fix="run the same command again",
            )
    return size


def local_model(model: ModelSource) -> Path | None:
    """The folder or file that a model is loaded from, where that lies on the run's disk.

    None for a Hub id, which a worker loads from the Hub or its own cache, and for what ships with a package.
    """
    if model.model in BUILT_IN:
        return None
    found = model.located()
    return found if isinstance(found, Path) else None


def addressed(message: Message, packer: Packer) -> tuple[Message, list[Parcel]]:
    """A message whose paths are absolute, and the parcels of what they name."""
    parcels: dict[Path, Parcel] = {}

    def model(asked: ModelSource) -> ModelSource:
        place = local_model(asked)
        if place is None:
            return asked
        parcels[place] = packer.parcel("model", place)
        return replace(asked, model=str(place), root=Path())

    def adapter(place: Path) -> Path:
        place = place.absolute()
        parcels[place] = packer.parcel("adapter", place)
        return place

    made = rewritten(message, model, adapter)
    return made, list(parcels.values())


def moved(message: Message, places: Mapping[Path, Path]) -> Message:
    """An addressed message as this machine reads it.

    Args:
        places: where what the parcels held lies here, by its place on the run's machine.
    """

    def model(asked: ModelSource) -> ModelSource:
        here = places.get(Path(asked.model))
        return asked if here is None else replace(asked, model=str(here))

    return rewritten(message, model, lambda place: places[place])


def rewritten(
    message: Message, model: Callable[[ModelSource], ModelSource], adapter: Callable[[Path], Path]
) -> Message:
    """A message with every model and every adapter's folder put in other words."""

    def adapted(models: Mapping[str, Adapted]) -> dict[str, Adapted]:
        return {name: one if one.path is None else replace(one, path=adapter(one.path)) for name, one in models.items()}

    match message:
        case Start() | Stop():
            return message
        case Inspect() | PlanBanks() | PlanScoring() | Train() | Differentiate():
            return replace(message, model=model(message.model))
        case Evaluate() | Capture():
            return replace(message, model=model(message.model), models=adapted(message.models))
        case Merge():
            return replace(message, model=model(message.model), parts=tuple(map(adapter, message.parts)))
        case Align():
            folders = {name: adapter(place) for name, place in message.adapters.items()}
            return replace(message, model=model(message.model), adapters=folders)


def here_again(text: str, places: Mapping[Path, Path]) -> str:
    """A worker's words with the run's own paths in the place of the worker's."""
    for theirs, here in places.items():
        text = text.replace(str(here), str(theirs))
    return text
