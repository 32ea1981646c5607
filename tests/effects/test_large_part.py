"""Of a large matrix an even part is looked at cell by cell, and it is chosen by no score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traitscope.effects import measure_effects
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix, looked_at
from traitscope.matrix.part import LARGEST, MOST_CHOSEN, spread_evenly


def matrix(n_sources: int, n_tasks: int, seeds: int = 1, seed: int = 0) -> ScoreMatrix:
    """Sources named after their tasks, as far as there are tasks; a control of the last one."""
    rng = np.random.default_rng(seed)
    sources = [f"t{s}" if s < n_tasks else f"s{s}" for s in range(n_sources)]
    sources.append(f"{sources[-1]}.mislabel")
    rows = [("base", None, None, f"t{n}") for n in range(n_tasks)]
    rows += [(f"{s}-s{k}", s, k, f"t{n}") for s in sources for k in range(seeds) for n in range(n_tasks)]
    frame = pd.DataFrame(rows, columns=["model", "source", "seed", "task"])
    frame = frame.assign(value=rng.uniform(0.2, 0.8, len(frame)), stderr=0.02)
    return ScoreMatrix.from_long(frame, base="base")


def test_a_matrix_of_usual_size_is_looked_at_as_a_whole() -> None:
    small = matrix(30, 20)
    part = looked_at(small)
    assert (part.models, part.tasks, part.note) == (small.models, small.tasks, "")


@pytest.mark.parametrize(("n_sources", "n_tasks", "seeds"), [(400, 100, 1), (40, 300, 1), (300, 15, 2), (1500, 5, 1)])
def test_a_part_of_a_large_matrix(n_sources: int, n_tasks: int, seeds: int) -> None:
    large = matrix(n_sources, n_tasks, seeds)
    part = looked_at(large)
    cells = len(part.models) * len(part.tasks)
    assert LARGEST / 2 < cells < 1.2 * LARGEST and "looked at" in part.note
    assert list(part.models) == [m for m in large.models if m in part.models], "in the matrix's order"
    assert part.models[0] == "base"
    # A source's seeds come together, and own tasks of those that are there are there.
    sources = {m.rsplit("-s", 1)[0] for m in part.models[1:]}
    assert len(part.models) - 1 == seeds * len(sources)
    own = [s for s in sources if s in large.tasks]
    assert len(part.tasks) < len(own) or set(own) <= set(part.tasks)
    # The last one is the control of the last source.
    control = next(s for s in sources if s.endswith(".mislabel"))
    assert control.removesuffix(".mislabel") in sources


def test_scores_have_no_say_in_what_is_looked_at() -> None:
    assert looked_at(matrix(400, 60, seed=1)) == looked_at(matrix(400, 60, seed=2))


def test_names_are_looked_at_where_they_are_given() -> None:
    large = matrix(400, 60)
    part = looked_at(large, ["t3", "s399.mislabel-s0"], ["t1", "t5"])
    assert part.models == ("base", "t3-s0", "s399-s0", "s399.mislabel-s0") and part.tasks == ("t1", "t5")
    with pytest.raises(TraitscopeError, match="there is no model 't333'"):
        looked_at(large, ["t333"])
    with pytest.raises(TraitscopeError, match="there is no task 'x'"):
        looked_at(large, None, ["x"])
    with pytest.raises(TraitscopeError, match=f"at most {MOST_CHOSEN:,} cells"):
        looked_at(large, [m for m in large.models if m != "base"], list(large.tasks))


def test_steps_from_the_first_to_the_last_are_even() -> None:
    assert spread_evenly(["a", "b", "c", "d", "e"], 3) == ["a", "c", "e"]
    assert spread_evenly(["a", "b"], 5) == ["a", "b"] and spread_evenly(["a", "b"], 0) == []


def test_effects_of_a_part_are_those_of_the_part_alone() -> None:
    large = matrix(120, 50)
    part = looked_at(large)
    found = measure_effects(large)
    alone = measure_effects(large.select(models=part.models, tasks=part.tasks))
    assert found.notes[0] == part.note
    pd.testing.assert_frame_equal(found.findings, alone.findings)
    gains = found.of_kind("gain")
    assert set(gains["model"]) <= set(part.models) and len(gains) == (len(part.models) - 1) * len(part.tasks)
