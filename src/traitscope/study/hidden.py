"""The base's mean hidden states of every dataset: captured once with the model, read by the analyses without it.

They are what the semantic similarity of datasets rests on (``stats.similarity``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.compute import Adapted, Capture, Event, Order, Refused, States
from traitscope.config import StudyConfig
from traitscope.store import RunFolder, fingerprint, write_atomic
from traitscope.store.arrays import arrays_bytes, arrays_fault, read_arrays, read_mark
from traitscope.store.models import Identity
from traitscope.study.data import StudyData
from traitscope.study.part import Part
from traitscope.study.units import RESULT_VERSIONS, reading_inputs
from traitscope.study.work import Step, Work
from traitscope.texts import count_of

# Halves of 64 rows of the embedded tasks already agree to a cosine of 0.9; the cost is a few seconds.
ROWS = 64
TENSOR = "mean_SD"


def hidden_inputs(config: StudyConfig, data: StudyData, base: Identity) -> dict[str, dict[str, Any]]:
    """What the hidden states of every dataset depend on, by dataset; reads rows unless they are remembered."""
    day = data.printed_day("base", base.source())
    found = {}
    for name, task in data.datasets().items():
        n = min(ROWS, data.n_text(name))
        found[name] = {
            "base": base.key(),
            "rows": data.text_rows(name, n),
            "reading": reading_inputs(config.tasks[task], day),
            "versions": {key: RESULT_VERSIONS[key] for key in ("encoding", "hidden")},
        }
    return found


def wanted_inputs(config: StudyConfig, data: StudyData, base: Identity, part: Part | None) -> dict[str, dict[str, Any]]:
    """``hidden_inputs`` of the datasets that a part is about; of all without one."""
    found = hidden_inputs(config, data, base)
    return {name: inputs for name, inputs in found.items() if part is None or name in part.datasets}


def hidden_marks(folder: RunFolder) -> dict[str, str]:
    """The fingerprints of all hidden states in a folder, by dataset; damaged files are left out."""
    return file_marks(folder, "hidden")


def file_marks(folder: RunFolder, kind: str) -> dict[str, str]:
    """What the files of one kind were made from, fingerprints by dataset; without damaged ones, which are made anew.

    Args:
        folder: the run folder. kind: ``hidden`` or ``gradients``.
    """
    files = [path for path in sorted((folder.root / kind).glob("*.safetensors")) if not path.name.startswith(".")]
    return {path.stem: read_mark(path)["fingerprint"] for path in files if arrays_fault(path, folder.checked) is None}


def missing_hidden(folder: RunFolder, inputs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The datasets whose hidden states the folder lacks, or has of something else."""
    have = hidden_marks(folder)
    return [name for name, asked in inputs.items() if have.get(name) != fingerprint(asked)]


def read_hidden(folder: RunFolder, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """mean_SD of every dataset whose hidden states are there; no model is needed."""
    absent = set(missing_hidden(folder, inputs))
    return {name: read_arrays(folder.hidden_path(name))[0][TENSOR] for name in inputs if name not in absent}


def capture_missing(work: Work) -> bool:
    """Captures what is missing and free; True if other processes are still at some of it.

    Raises:
        Stopped: the run was asked to stop.
    """
    inputs = wanted_inputs(work.config, work.data, work.units.base, work.part)
    missing = missing_hidden(work.folder, inputs)
    # Rows that no model of the study reads may be too long for it; the study stands without their states.
    names = [name for name in missing if name not in work.unreadable]
    if names:
        work.report.stage(f"mean hidden states of {count_of(len(names), 'dataset')}")
    return work.carry_out(_step(work, name, inputs[name]) for name in names)


def _step(work: Work, name: str, inputs: Mapping[str, Any]) -> Step:
    unit = f"hidden/{name}"
    examples = tuple(work.data.text(name)[:ROWS])

    def order() -> Order | None:
        if not missing_hidden(work.folder, {name: inputs}):
            return None
        return Capture(
            key=unit,
            model=work.units.base.source(),
            models={"base": Adapted()},
            task=work.data.tasks[work.data.datasets()[name]],
            examples=examples,
            position="mean",
            reads="prompt and answer",
            layers="middle",
        )

    def receive(event: Event) -> None:
        assert isinstance(event, States)
        content = arrays_bytes(TENSOR, event.acts["base"][0], inputs, layer=event.first)
        with work.leases.commit(unit):
            write_atomic(work.folder.hidden_path(name), content)
        work.folder.log("hidden", unit=unit, rows=len(examples), layer=event.first)
        work.captured.append(unit)

    def refused(event: Refused) -> None:
        work.report.note(f"no hidden states of {name}: {event.what}")
        work.unreadable.add(name)

    return Step(unit, order, receive, refused)
