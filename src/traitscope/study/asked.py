"""What was made because somebody asked for it, and what making it took: read for the report, never computed for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.findings import Spent
from traitscope.store.checked import sha256_of
from traitscope.store.files import read_file
from traitscope.study.context import Context


def _forecast(text: str) -> Any:
    from traitscope.predict.rankings import Rankings

    return Rankings.from_json(text)


def _evaluation(text: str) -> Any:
    from traitscope.predict.evaluation import Evaluation

    return Evaluation.from_json(text)


def _belt(text: str) -> Any:
    from traitscope.belt import BeltFindings

    return BeltFindings.from_json(text).choice


_FILES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "forecast": ("forecast.json", _forecast),
    "evaluation": ("prediction.json", _evaluation),
    "belt": ("belt.json", _belt),
}


def marks(study: Context) -> dict[str, str]:
    """The hashes of those files that are there."""
    found = {}
    for name, (file, _) in _FILES.items():
        path = study.folder.analysis / file
        if path.is_file():
            found[name] = sha256_of(read_file(path))
    return found


def findings(study: Context) -> dict[str, Any]:
    """Forecast, evaluation and belt of ``analysis/`` by the name they have among the findings; others are left out.

    A file that cannot be read, or was written by another version, counts as absent: the same command writes it anew.
    """
    found: dict[str, Any] = {}
    for name, (file, read) in _FILES.items():
        path = study.folder.analysis / file
        try:
            if path.is_file():
                found[name] = read(read_file(path).decode("utf-8"))
        except (TraitscopeError, OSError, ValueError, KeyError, TypeError):
            study.report_to.note(f"analysis/{file} cannot be read and is left out of the report")
    return found


def spent(study: Context, before: str = "") -> tuple[Spent, ...]:
    """Steps, tokens and seconds of every adapter, by the run's records; of one trained twice the last time.

    Args:
        study: with a run folder.
        before: stands before the adapters' names.
    """
    begun: dict[str, datetime] = {}
    found: dict[str, Spent] = {}
    for line in study.folder.read_log():
        if line.get("event") == "train":
            begun |= {str(name): _time(line) for name in line.get("adapters", ())}
        elif line.get("event") == "adapter" and "steps" in line:
            name = str(line["unit"]).removeprefix("adapters/")
            start = begun.get(name)
            seconds = None if start is None else (_time(line) - start).total_seconds()
            found[name] = Spent(before + name, int(line["steps"]), int(line.get("tokens", 0)), seconds)
    return tuple(found.values())


def _time(line: Any) -> datetime:
    return datetime.fromisoformat(str(line["time"]))
