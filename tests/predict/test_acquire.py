"""What a measurement is worth, against simulation; batches and starts, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.predict.acquire import (
    after_measuring,
    balanced_start,
    choose_cells,
    expected_improvement,
    knowledge_gradient,
)
from traitscope.predict.predictor import Prediction


def belief(rng: np.random.Generator, shape: tuple[int, int]) -> Prediction:
    """A Gaussian belief with correlated cells."""
    size = shape[0] * shape[1]
    root = rng.normal(size=(size, size)) / np.sqrt(size)
    covariance = root @ root.T + 0.05 * np.eye(size)
    sd = np.sqrt(np.diag(covariance)).reshape(shape)
    mean = rng.normal(size=shape) * 0.5
    return Prediction(mean, sd, np.zeros(shape[1]), np.ones(shape[1]), {}, covariance)


def test_the_knowledge_gradient_is_what_measuring_gains_in_simulation() -> None:
    rng = np.random.default_rng(0)
    prior = belief(rng, (4, 3))
    noise = np.full((4, 3), 0.3)
    value = knowledge_gradient(prior, np.ones((4, 3), dtype=bool), noise)
    assert prior.covariance_CC is not None
    truth_RC = rng.multivariate_normal(prior.z_IN.ravel(), prior.covariance_CC, size=40_000)
    for cell in (0, 5, 11):
        seen_R = truth_RC[:, cell] + rng.normal(size=len(truth_RC)) * np.sqrt(0.3)
        weight_C = prior.covariance_CC[:, cell] / (prior.covariance_CC[cell, cell] + 0.3)
        posterior_RIN = (prior.z_IN.ravel() + np.outer(seen_R - prior.z_IN.ravel()[cell], weight_C)).reshape(-1, 4, 3)
        # What is believed best is worth its true value: no reference to the posterior mean itself.
        best_RN = posterior_RIN.argmax(axis=1)
        got_R = np.take_along_axis(truth_RC.reshape(-1, 4, 3), best_RN[:, None, :], axis=1)[:, 0].sum(axis=1)
        before = truth_RC.reshape(-1, 4, 3)[:, prior.z_IN.argmax(axis=0), np.arange(3)].sum(axis=1)
        gain = got_R - before
        assert value.ravel()[cell] == pytest.approx(gain.mean(), abs=4 * gain.std() / np.sqrt(len(gain)))


def test_expected_improvement_is_the_mean_excess_over_the_best_known_source() -> None:
    rng = np.random.default_rng(1)
    prior = belief(rng, (4, 2))
    still_open = np.ones((4, 2), dtype=bool)
    still_open[1] = False
    value = expected_improvement(prior, still_open, np.zeros((4, 2)))
    drawn = rng.normal(prior.z_IN[3, 0], prior.sd_IN[3, 0], size=200_000)
    excess = np.maximum(drawn - prior.z_IN[1, 0], 0)
    assert value[3, 0] == pytest.approx(excess.mean(), abs=4 * excess.std() / np.sqrt(len(excess)))
    assert np.isneginf(value[1]).all()


@pytest.mark.parametrize("rule", [expected_improvement, knowledge_gradient])
def test_a_measurement_of_nothing_but_noise_is_worth_nothing(rule) -> None:
    prior = belief(np.random.default_rng(2), (4, 2))
    still_open = np.ones((4, 2), dtype=bool)
    noisy = rule(prior, still_open, np.full((4, 2), 1e6))
    sharp = rule(prior, still_open, np.zeros((4, 2)))
    assert noisy.max() < 1e-2 * sharp.max()


def test_uncertainty_after_a_measurement_is_that_of_conditioning() -> None:
    prior = belief(np.random.default_rng(3), (3, 2))
    assert prior.covariance_CC is not None
    after = after_measuring(prior, 2, 0.4)
    # Precision form, which the update does not use.
    seen = np.zeros(6)
    seen[2] = 1
    expected = np.linalg.inv(np.linalg.inv(prior.covariance_CC) + np.outer(seen, seen) / 0.4)
    np.testing.assert_allclose(after.covariance_CC, expected, atol=1e-10)
    np.testing.assert_allclose(after.sd_IN, np.sqrt(np.diag(expected)).reshape(3, 2), atol=1e-10)


def test_a_batch_does_not_measure_the_same_thing_twice() -> None:
    """Two cells that are all but one: the second is worth little once the first is chosen."""
    covariance = np.diag([1.0, 1.0, 0.6, 0.6])
    covariance[0, 1] = covariance[1, 0] = 0.999
    prior = Prediction(
        np.zeros((2, 2)), np.sqrt(np.diag(covariance)).reshape(2, 2), np.zeros(2), np.ones(2), {}, covariance
    )
    chosen = choose_cells(prior, np.ones((2, 2), dtype=bool), 2, "knowledge gradient")
    assert len(set(chosen)) == 2
    assert {(0, 0), (0, 1)} != set(chosen)


def test_a_start_is_balanced_and_keeps_to_what_is_allowed() -> None:
    allowed = ~np.eye(6, dtype=bool)
    start = balanced_start(allowed, 12, np.random.default_rng(0))
    assert start.sum() == 12
    assert not (start & ~allowed).any()
    assert set(start.sum(axis=0)) == {2}
    assert set(start.sum(axis=1)) <= {1, 2, 3}
    assert balanced_start(allowed, 1000, np.random.default_rng(0)).sum() == 30
