"""The mean gradient of every dataset's loss: made once with the model when a forecast asks for it, kept in the folder.

Like the hidden states beside them they need no training; unlike these they are made only on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.compute import Differentiate, Event, Gradients, Order, Refused
from traitscope.config import StudyConfig
from traitscope.store import RunFolder, fingerprint, write_atomic
from traitscope.store.arrays import arrays_bytes, read_arrays
from traitscope.store.models import Identity
from traitscope.study.data import StudyData
from traitscope.study.hidden import file_marks
from traitscope.study.units import RESULT_VERSIONS, reading_inputs
from traitscope.study.work import Step, Work
from traitscope.texts import count_of

# Rows of a dataset that its mean is over, the adapter that is differentiated, and the numbers that are kept of it.
ROWS = 128
RANK, SEED, DIMENSIONS = 4, 0, 8192
TENSOR = "sketch_P"


def gradient_inputs(config: StudyConfig, data: StudyData, base: Identity) -> dict[str, dict[str, Any]]:
    """What the mean gradient of every dataset depends on, by dataset."""
    day = data.printed_day("base", base.source())
    found = {}
    for name, task in data.datasets().items():
        found[name] = {
            "base": base.key(),
            "rows": data.text_rows(name, min(ROWS, data.n_text(name))),
            "reading": reading_inputs(config.tasks[task], day),
            "adapter": {"rank": RANK, "seed": SEED, "dimensions": DIMENSIONS},
            "versions": {key: RESULT_VERSIONS[key] for key in ("encoding", "gradients")},
        }
    return found


def missing_gradients(folder: RunFolder, inputs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The datasets whose mean gradient the folder lacks, or has of something else."""
    have = file_marks(folder, "gradients")
    return [name for name, asked in inputs.items() if have.get(name) != fingerprint(asked)]


def read_gradients(
    folder: RunFolder, inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[NDArray[np.float32], float]]:
    """Sketch and the base's loss of every dataset whose gradient is there; no model is needed."""
    absent = set(missing_gradients(folder, inputs))
    found = {}
    for name in inputs:
        if name not in absent:
            arrays, mark = read_arrays(folder.gradient_path(name))
            found[name] = arrays[TENSOR], float(mark["loss"])
    return found


def make_missing(work: Work) -> bool:
    """Makes the gradients that are missing, all in one bank; True if another process is at it.

    Where the base cannot read a dataset, the others are made one by one, and a note says why it has none.

    Raises:
        Stopped: the run was asked to stop.
    """
    inputs = gradient_inputs(work.config, work.data, work.units.base)
    names = [name for name in missing_gradients(work.folder, inputs) if name not in work.unreadable]
    if not names:
        return False
    work.report.stage(f"mean gradients of {count_of(len(names), 'dataset')}")
    refusals: list[Refused] = []
    left = work.carry_out([_step(work, "gradients", names, inputs, refusals.append)])
    if not refusals:
        return left
    return work.carry_out(
        _step(work, f"gradients/{name}", [name], inputs, partial(_refused, work, name)) for name in names
    )


def _refused(work: Work, name: str, event: Refused) -> None:
    work.report.note(f"no mean gradient of {name}: {event.what}")
    work.unreadable.add(name)


def _step(
    work: Work,
    unit: str,
    names: list[str],
    inputs: Mapping[str, Mapping[str, Any]],
    refused: Callable[[Refused], None],
) -> Step:
    datasets = work.data.datasets()

    def order() -> Order | None:
        left = missing_gradients(work.folder, {name: inputs[name] for name in names})
        if not left:
            return None
        parts = {name: (work.data.tasks[datasets[name]], tuple(work.data.text(name)[:ROWS])) for name in left}
        return Differentiate(
            key=unit, model=work.units.base.source(), parts=parts, rank=RANK, seed=SEED, dimensions=DIMENSIONS
        )

    def receive(event: Event) -> None:
        assert isinstance(event, Gradients)
        for name, made in event.gradients.items():
            content = arrays_bytes(TENSOR, made.sketch_P, inputs[name], norm=made.norm, loss=made.loss)
            with work.leases.commit(unit):
                write_atomic(work.folder.gradient_path(name), content)
            work.captured.append(f"gradients/{name}")
        work.folder.log("gradients", datasets=len(event.gradients))

    return Step(unit, order, receive, refused)
