"""How often the section finder is right on planted curves, and how often it refuses what has no sections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import planted
import pytest

from traitscope.layers import find_sections


@dataclass
class Rates:
    """Shares of sets: both boundaries identified; both within max(1, L / 32) of the truth; and the two
    together."""

    identified: float
    near: float
    both: float

    @property
    def near_if_identified(self) -> float:
        return self.both / self.identified if self.identified else float("nan")


def rates(kind: str, depth: int, n_tasks: tuple[int, int], sets: int, seed: int = 0) -> Rates:
    tolerance = max(1.0, depth / 32)
    identified, near = [], []
    for i in range(sets):
        rng = np.random.default_rng([seed, depth, *n_tasks, i])
        curves, *truth = planted.draw(rng, depth, int(rng.integers(n_tasks[0], n_tasks[1] + 1)), kind)
        found = find_sections(curves, draws=200, seed=i)
        ends = (found.shared_end, found.transition_end)
        identified.append(all(end.identified for end in ends))
        near.append(
            all(
                end.layer is not None and true is not None and abs(end.layer - true) <= tolerance
                for end, true in zip(ends, truth, strict=True)
            )
        )
    both = np.logical_and(identified, near)
    return Rates(float(np.mean(identified)), float(np.mean(near)), float(np.mean(both)))


@pytest.mark.parametrize("depth", [12, 32])
def test_planted_boundaries_are_found_with_twenty_to_sixty_tasks(depth: int) -> None:
    found = rates("planted", depth, (20, 60), sets=20)
    assert found.near >= 0.9
    assert found.both >= 0.85


@pytest.mark.parametrize("kind", ["zero", "constant", "ramp"])
def test_curves_without_sections_are_refused(kind: str) -> None:
    assert rates(kind, 32, (20, 60), sets=20).identified <= 0.1


@pytest.mark.verify
@pytest.mark.parametrize("depth", [12, 24, 32, 80])
def test_planted_boundaries_are_found_in_nine_of_ten_sets(depth: int) -> None:
    found = rates("planted", depth, (20, 60), sets=200)
    assert found.near >= 0.9, found
    assert found.near_if_identified >= 0.9, found


@pytest.mark.verify
def test_over_all_depths_nine_of_ten_sets_are_identified_and_right() -> None:
    found = [rates("planted", depth, (20, 60), sets=100, seed=1) for depth in (12, 24, 32, 80)]
    assert np.mean([rate.both for rate in found]) >= 0.9, found


@pytest.mark.verify
@pytest.mark.parametrize("kind", ["zero", "constant", "ramp"])
@pytest.mark.parametrize("depth", [12, 24, 32, 80])
def test_nine_of_ten_sets_without_sections_are_refused(kind: str, depth: int) -> None:
    assert rates(kind, depth, (20, 60), sets=100).identified <= 0.1


@pytest.mark.verify
def test_the_power_with_eight_tasks_is_partial_and_printed(record_property: pytest.FixtureRequest) -> None:
    found = {depth: rates("planted", depth, (8, 8), sets=150) for depth in (12, 24, 32, 80)}
    for depth, rate in found.items():
        record_property(f"power with 8 tasks, {depth} layers", f"{rate.both:.2f}")  # type: ignore[operator]
    assert 0.2 <= found[32].both <= 0.75
    refused = {kind: rates(kind, 32, (8, 8), sets=150).identified for kind in ("zero", "constant", "ramp")}
    assert max(refused.values()) <= 0.15, refused
