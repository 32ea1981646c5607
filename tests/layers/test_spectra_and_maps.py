"""Spectra, separability and t-SNE against hand-worked and planted cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from traitscope.errors import TraitscopeError
from traitscope.layers import (
    Embedding,
    Representation,
    dims_for_share,
    effective_rank,
    participation_ratio,
    separability,
    spectrum,
    tsne,
)


def test_dimension_figures_of_known_spectra() -> None:
    equal = np.full(7, 2.0)
    assert dims_for_share(equal) == 7
    assert participation_ratio(equal) == pytest.approx(7)
    assert effective_rank(equal) == pytest.approx(7)
    # 90 + 9 of 100 meet 99 % exactly.
    assert dims_for_share(np.array([90.0, 9.0, 1.0])) == 2
    # (4 + 1)^2 / (16 + 1); singular values 2 and 1: shares 2/3 and 1/3.
    assert participation_ratio(np.array([4.0, 1.0])) == pytest.approx(25 / 17)
    assert effective_rank(np.array([4.0, 1.0, 0.0])) == pytest.approx(3 / 2 ** (2 / 3))
    with pytest.raises(TraitscopeError, match="share"):
        dims_for_share(equal, 0.0)


@pytest.mark.parametrize(("n", "d"), [(60, 20), (20, 60)])
def test_eigenvalues_equal_the_squared_singular_values(n: int, d: int) -> None:
    x = np.random.default_rng(0).standard_normal((n, d)) + 4.0
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    np.testing.assert_allclose(Representation(x).eigenvalues, singular**2, atol=1e-9)


def test_dimensions_for_99_percent_measure_n_and_the_participation_ratio_does_not() -> None:
    rng = np.random.default_rng(1)
    scale = np.arange(1, 2001) ** -0.5
    found = {
        n: spectrum(Representation(x), x) for n in (56, 250, 1000) for x in [rng.standard_normal((n, 2000)) * scale]
    }
    assert found[56].dims99 < found[250].dims99 < found[1000].dims99
    assert found[1000].dims99 > 10 * found[56].dims99
    assert found[250].participation_ratio == pytest.approx(found[1000].participation_ratio, rel=0.25)


def test_anisotropy_is_the_mean_cosine_of_two_examples() -> None:
    x = np.random.default_rng(2).standard_normal((15, 6)) + 0.7
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = [unit[i] @ unit[j] for i in range(15) for j in range(15) if i != j]
    assert spectrum(Representation(x), x).anisotropy == pytest.approx(np.mean(cosines))


def test_share_of_the_top_dimension() -> None:
    x = np.random.default_rng(3).standard_normal((500, 10))
    x[:, 4] *= 9.0
    assert spectrum(Representation(x), x).top_dimension == pytest.approx(81 / 90, abs=0.02)


def test_constant_states_have_no_spectrum() -> None:
    x = np.full((9, 5), 0.3, dtype=np.float32)
    found = spectrum(Representation(x), x)
    assert np.isnan([found.dims99, found.participation_ratio, found.effective_rank, found.top_dimension]).all()
    assert found.anisotropy == pytest.approx(1.0)


def blobs(distance: float) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(4)
    centres = distance * rng.standard_normal((4, 20))
    return (np.repeat(centres, 30, axis=0) + rng.standard_normal((120, 20))), [t for t in "abcd" for _ in range(30)]


def test_well_separated_tasks_are_told_apart_and_mixed_ones_at_chance() -> None:
    far, near = (separability(*blobs(distance)) for distance in (5.0, 0.0))
    assert far.probe == 1.0
    assert far.purity == 1.0
    assert far.silhouette == pytest.approx(silhouette_score(*blobs(5.0)))
    assert near.probe == pytest.approx(near.probe_chance, abs=0.12)
    assert near.purity == pytest.approx(near.purity_chance, abs=0.05)
    assert near.probe_chance == 0.25
    assert near.purity_chance == pytest.approx(29 / 119)


def test_a_cluster_counts_only_where_an_unseen_task_falls_into_it() -> None:
    rng = np.random.default_rng(5)
    # Six tasks far apart, clusters drawn over them at random: plain neighbours are pure, other tasks' are
    # not.
    centres = 20.0 * rng.standard_normal((6, 10))
    x = np.repeat(centres, 20, axis=0) + rng.standard_normal((120, 10))
    tasks = [f"t{i}" for i in range(6) for _ in range(20)]
    clusters = ["ab"[i % 2] for i in range(6) for _ in range(20)]
    assert separability(x, clusters).purity == 1.0
    assert separability(x, clusters, tasks).purity < 0.9
    # Clusters that are real: a common direction per cluster.
    x[np.array(clusters) == "a"] += 100.0
    held = separability(x, clusters, tasks)
    assert held.probe == 1.0
    assert held.purity == 1.0


def test_separability_says_why_it_is_undefined() -> None:
    x, labels = blobs(1.0)
    assert "fewer than two labels" in (separability(x[:30], labels[:30]).reason or "")
    assert "constant" in (separability(np.ones_like(x), labels).reason or "")
    assert "tasks per cluster" in (separability(x, labels, labels).reason or "")
    with pytest.raises(TraitscopeError, match="one label per point"):
        separability(x, labels[:-1])


def test_tsne_is_seeded_keeps_far_tasks_apart_and_has_a_caption() -> None:
    x, labels = blobs(6.0)
    first, again = (tsne(x, labels, model="mix", layer=3, perplexity=20, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.xy_P2, again.xy_P2)
    assert silhouette_score(first.xy_P2, labels) > 0.6
    for part in ("mix, layer 3", "30 per task", "perplexity 20", "seed 1", "principal components"):
        assert part in first.caption
    back = Embedding.from_json(first.to_json())
    np.testing.assert_allclose(back.xy_P2, first.xy_P2, atol=1e-3)
    assert back.caption == first.caption


def test_tsne_refuses_constant_states_and_lowers_the_perplexity_of_few_points() -> None:
    with pytest.raises(TraitscopeError, match="same state"):
        tsne(np.ones((20, 3)), ["a"] * 20, model="base", layer=0)
    few = np.random.default_rng(6).standard_normal((10, 3))
    assert tsne(few, ["a"] * 10, model="base", layer=1).perplexity == pytest.approx(3.0)
