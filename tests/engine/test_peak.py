"""Share of the machine's peak: measured again where it was exceeded, never shown above one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from traitscope.engine import peak

BASE: Any = SimpleNamespace(device=torch.device("cpu"), product_dtype=None, dtype=torch.float32, n_parameters=1000)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the next measurements find, in operations per second; the fixture holds what is left of them."""
    left = [100.0, 50.0, 800.0, 400.0, 10_000.0]
    monkeypatch.setattr(peak, "_measure", lambda device, dtype: left.pop(0))
    monkeypatch.setattr(peak, "_peaks", {})
    monkeypatch.setattr(peak, "_measurements", {})
    return left


def test_a_peak_is_measured_once_while_it_is_not_passed(rates: list[float]) -> None:
    # 0.0125 tokens/s x 4 x 1000 parameters = 50 operations a second, of 100.
    assert [peak.share_of_peak(BASE, 0.0125, flops_per_parameter=4) for _ in range(3)] == [0.5] * 3
    assert len(rates) == 4


def test_a_peak_that_is_passed_is_measured_again_and_the_highest_counts(rates: list[float]) -> None:
    # 640 operations a second are 640 % of the first rate; the second is lower still, the third is the machine's.
    assert peak.share_of_peak(BASE, 0.16, flops_per_parameter=4) == pytest.approx(0.8)
    assert rates == [400.0, 10_000.0]
    assert peak.share_of_peak(BASE, 0.08, flops_per_parameter=4) == pytest.approx(0.4)
    assert rates == [400.0, 10_000.0]


def test_a_share_that_stays_above_one_is_not_told_and_measuring_ends(rates: list[float]) -> None:
    # 2 x 1000 x 0.5 = 1000 operations a second; four measurements find 800 at most.
    assert [peak.share_of_peak(BASE, 0.5, flops_per_parameter=2) for _ in range(3)] == [None] * 3
    assert rates == [10_000.0]
    assert peak.share_of_peak(BASE, 0.2, flops_per_parameter=2) == pytest.approx(0.5)


def test_the_measured_rate_is_that_of_a_product_of_this_machine() -> None:
    found = peak.matmul_peak("cpu", torch.float32, torch.get_num_threads())
    assert 1e8 < found < 1e15
    assert peak.matmul_peak("cpu", torch.float32, torch.get_num_threads(), again=True) >= found
