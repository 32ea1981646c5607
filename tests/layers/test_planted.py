"""How often the section finder is right on planted curves, and how often it names what has no three sections."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import planted
import pytest

from traitscope.layers import find_sections

DEPTHS = (12, 24, 32, 80)


@dataclass
class Rates:
    """Shares of sets: any boundary identified; both identified; both identified and within max(1, L / 32) of the
    truth."""

    any: float
    named: float
    right: float


def rates(kind: str, depth: int, n_tasks: int, sets: int, spread: float, seed: int = 0) -> Rates:
    tolerance = max(1.0, depth / 32)
    outcomes = []
    for i in range(sets):
        rng = np.random.default_rng([seed, depth, n_tasks, i, *kind.encode()])
        curves, *truth = planted.draw(rng, depth, n_tasks, kind, spread)
        found = find_sections(curves, draws=200, seed=i)
        ends = (found.shared_end, found.transition_end)
        known = [end.identified for end in ends]
        near = all(
            end.layer is not None and true is not None and abs(end.layer - true) <= tolerance
            for end, true in zip(ends, truth, strict=True)
        )
        outcomes.append((any(known), all(known), all(known) and near))
    return Rates(*np.mean(outcomes, axis=0).tolist())


@pytest.mark.parametrize("kind", planted.SECTIONS)
@pytest.mark.parametrize("depth", [12, 32])
def test_planted_boundaries_are_found_with_fifty_tasks(depth: int, kind: str) -> None:
    assert rates(kind, depth, 50, sets=20, spread=0.5).right >= 0.9
    assert rates(kind, depth, 50, sets=20, spread=1.0).right >= 0.5


@pytest.mark.parametrize("kind", planted.OTHERS)
def test_curves_without_three_sections_are_refused(kind: str) -> None:
    for depth, spread in ((12, 0.1), (32, 1.0)):
        assert rates(kind, depth, 50, sets=15, spread=spread).any <= 1 / 15


@pytest.mark.verify
@pytest.mark.parametrize("depth", DEPTHS)
def test_three_sections_are_right_in_nine_of_ten_sets_and_nothing_else_in_more_than_one_of_twenty(
    depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"sections, {depth} layers: any / both boundaries identified / both right, 200 sets"]
    missed = []
    for n_tasks in (50, 10):
        for spread in (0.1, 0.5, 1.0):
            for kind in (*planted.SECTIONS, *planted.OTHERS):
                found = rates(kind, depth, n_tasks, 200, spread, seed=1)
                line = f"{n_tasks} tasks, {spread:g} x spread, {kind}: {found.any:.3f} {found.named:.3f}"
                if kind in planted.SECTIONS:
                    line += f" {found.right:.3f}"
                    ok = n_tasks == 10 or found.right >= (0.9 if spread < 1 else 0.5)
                else:
                    ok = found.any <= 0.05
                lines.append(line)
                missed += [] if ok else [line]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n  ".join(lines) + "\n")
    assert not missed
