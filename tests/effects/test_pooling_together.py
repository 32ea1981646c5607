"""Pooled effects whose errors go together: by hand, as without where they do not, and at their level by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from traitscope.effects import Effects, across_bases, measure_effects
from traitscope.effects.across import gain_covariances
from traitscope.effects.pooling import random_effects
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix


def test_a_common_error_does_not_average_out_by_hand() -> None:
    # Errors 1, correlation .6: contrast (1 - 3)^2 / 2 = 2 over 1 - .6, and tau^2 = 2 - .4.
    found = random_effects([1.0, 3.0], [1.0, 1.0], covariance_BB=[[1.0, 0.6], [0.6, 1.0]])
    assert found.q == pytest.approx(5.0) and found.sd**2 == pytest.approx(1.6)
    assert found.se == pytest.approx(np.sqrt(0.6 + (0.4 + 1.6) / 2))


def test_without_covariance_it_is_as_independent() -> None:
    plain = random_effects([0.1, 0.4, 0.2], [0.1, 0.05, 0.2])
    none = random_effects([0.1, 0.4, 0.2], [0.1, 0.05, 0.2], covariance_BB=np.zeros((3, 3)))
    assert (plain.value, plain.se, plain.q_p, plain.sd_hi) == (none.value, none.se, none.q_p, none.sd_hi)


def test_one_more_study_is_expected_with_two_degrees_less() -> None:
    found = random_effects([0.0, 1.0, 2.0], [0.1] * 3)
    reach = student.ppf(0.975, 1) * np.sqrt(found.sd**2 + found.se**2)
    assert (found.next_lo, found.next_hi) == pytest.approx((1 - reach, 1 + reach))


def answers(rng: np.random.Generator, n: int = 60) -> dict[str, np.ndarray]:
    hard = rng.random(n)
    return {f"{base}/{row}": (hard < rng.uniform(0.4, 0.7) + rng.normal(0, 0.1, n)).astype(float)
            for base, row in product("mno", ("base", "a"))}  # fmt: skip


def of_bases(values: dict[str, np.ndarray], percent: str = "") -> tuple[ScoreMatrix, dict[str, Effects]]:
    lines = [{"base": key[0], "model": key[2:], "task": "t", "value": one.mean(), "n": len(one),
              "stderr": one.std(ddof=1) / np.sqrt(len(one))} for key, one in values.items()]  # fmt: skip
    table = pd.DataFrame(lines)
    scores = ScoreMatrix.from_long(table).with_records({"t": dict(values)})
    effects = {}
    for base, part in table.groupby("base"):
        scale = 100 if base in percent else 1
        made = part.assign(value=part["value"] * scale, stderr=part["stderr"] * scale)
        effects[str(base)] = measure_effects(ScoreMatrix.from_long(made.drop(columns="n")))
    return scores, effects


def test_records_tell_how_far_errors_go_together() -> None:
    values = answers(np.random.default_rng(0))
    scores, effects = of_bases(values)
    row = across_bases(effects, scores=scores).gains.iloc[0]
    gains = np.array([values[f"{base}/a"] - values[f"{base}/base"] for base in "mno"])
    se = np.array([effects[base].findings.query("kind == 'gain'")[["lo", "hi"]].diff(axis=1)["hi"].iloc[0]
                   for base in "mno"]) / (2 * 1.959964)  # fmt: skip
    by_hand = random_effects(gains.mean(axis=1), se, covariance_BB=np.cov(gains) / gains.shape[1], examples=60)
    assert row["paired"] and row["p"] == pytest.approx(by_hand.p, rel=1e-4)
    assert (row["lo"], row["p_differ"]) == pytest.approx((by_hand.lo, by_hand.q_p), rel=1e-4)
    alone = across_bases(effects)
    assert not alone.gains["paired"].any() and "count as independent" in " ".join(alone.notes)


def test_a_base_model_without_records_leaves_all_errors_independent() -> None:
    values = answers(np.random.default_rng(0))
    _, effects = of_bases(values)
    known, _ = of_bases({key: one for key, one in values.items() if key[0] != "o"})
    row, alone = (across_bases(effects, scores=scores).gains.iloc[0] for scores in (known, None))
    assert row["bases"] == 3 and not row["paired"] and row["p"] == alone["p"] and row["p_differ"] == alone["p_differ"]


def test_percentages_of_all_base_models_are_pooled_as_shares_are() -> None:
    """Both in the findings and in the matrix with the records."""
    values = answers(np.random.default_rng(2))
    scores, effects = of_bases(values)
    long = pd.DataFrame(
        [{"base": key[0], "model": key[2:], "task": "t", "value": 100 * one.mean(), "n": len(one),
          "stderr": 100 * one.std(ddof=1) / np.sqrt(len(one))} for key, one in values.items()]
    )  # fmt: skip
    hundred = ScoreMatrix.from_long(long).with_records({"t": dict(values)})
    assert hundred.units["t"] == "percent"
    plain = across_bases(effects, scores=scores).gains.iloc[0]
    for matrix in (scores, hundred):
        row = across_bases(of_bases(values, "mno")[1], scores=matrix).gains.iloc[0]
        assert row["paired"] and row["unit"] == "percent"
        for name, scale in {"value": 100, "lo": 100, "sd": 100, "p": 1, "p_differ": 1, "share": 1}.items():
            assert row[name] == pytest.approx(plain[name] * scale)


def test_errors_of_sources_with_several_seeds_go_together_too() -> None:
    values = answers(np.random.default_rng(6))
    lines, records = [], {}
    for base, (row, seed) in product("mno", (("base", None), ("a", 0), ("a", 1))):
        one, source = values[f"{base}/{row}"], None if row == "base" else row
        model = row if seed is None else f"{row}-s{seed}"
        records[f"{base}/{model}"] = one
        lines.append({"base": base, "model": model, "source": source, "seed": seed, "task": "t", "value": one.mean(),
                      "stderr": 0.06, "n": 60})  # fmt: skip
    scores = ScoreMatrix.from_long(pd.DataFrame(lines))
    found = gain_covariances(scores.with_records({"t": records}))
    gains = np.array([values[f"{base}/a"] - values[f"{base}/base"] for base in "mno"])
    correlation = np.corrcoef(gains)
    made, examples = found["a", "t"]
    assert examples == 60 and made.index.tolist() == list("mno")
    # Errors are the table's; equal answers of two seeds go together wholly.
    assert np.sign(made.to_numpy()).tolist() == np.sign(correlation).tolist()


def test_the_level_of_the_intervals_changes_no_error() -> None:
    _, effects = of_bases(answers(np.random.default_rng(1)))
    first, second = (across_bases(effects, level=level).gains.iloc[0] for level in (0.8, 0.99))
    for name in ("value", "sd", "share", "p", "p_differ"):
        assert first[name] == pytest.approx(second[name])
    assert second["hi"] > first["hi"]


def test_percentages_of_one_base_model_are_brought_to_shares() -> None:
    values = answers(np.random.default_rng(2))
    plain, mixed = (across_bases(of_bases(values, percent)[1]) for percent in ("", "n"))
    for name in ("value", "lo", "hi", "p", "sd"):
        np.testing.assert_allclose(mixed.gains[name], plain.gains[name], rtol=1e-9)
    assert mixed.findings["value"].tolist() == pytest.approx(plain.findings["value"].tolist())
    losses = {"m": of_bases(values)[1]["m"], "n": of_bases({k: 7 * v + 3 for k, v in values.items()})[1]["n"]}
    with pytest.raises(TraitscopeError, match="gain of a on t: share, score in different base models"):
        across_bases(losses)


def test_q_of_pooled_gains_is_within_each_family() -> None:
    effects = of_bases(answers(np.random.default_rng(3)))[1]
    for one in effects.values():
        own = one.findings.assign(source="b", model="b", family="own", p=1e-9, lo=0.5, hi=0.6, value=0.55)
        object.__setattr__(one, "findings", pd.concat([one.findings, own], ignore_index=True))
    gains = across_bases(effects).gains
    # One test in each family: nothing to correct for.
    assert len(gains) == 2 and gains["q"].tolist() == pytest.approx(gains["p"].tolist())


@pytest.mark.parametrize("value", [0, 1, 1.5, 2, -1, float("nan"), True])
@pytest.mark.parametrize("name", ["alpha", "level"])
def test_levels_outside_0_and_1_are_refused(name: str, value: float) -> None:
    from traitscope import compare
    from traitscope.traits import fit_traits

    scores, effects = of_bases(answers(np.random.default_rng(4)))
    for ask in (lambda **o: across_bases(effects, **o), lambda **o: compare(scores, **o),
                lambda **o: fit_traits(scores, **o)):  # fmt: skip
        with pytest.raises(TraitscopeError, match=f"{name}=") as caught:
            ask(**{name: value})
        assert "between 0 and 1" in str(caught.value) and caught.value.where


@pytest.mark.verify
@pytest.mark.parametrize(("bases", "rho"), list(product((3, 5, 10), (0.0, 0.2, 0.7))))
def test_a_mean_of_nothing_is_found_no_oftener_than_the_level(bases: int, rho: float) -> None:
    rng, trials = np.random.default_rng(5), 1000
    for tau in (0.0, 3.0):
        found = differ = 0
        for _ in range(trials):
            se = rng.uniform(0.5, 1.5, bases)
            truth = np.where(np.eye(bases) > 0, 1.0, rho) * np.outer(se, se)
            drawn = rng.multivariate_normal(np.zeros(bases), truth * 200, size=200)
            covariance = np.cov(drawn.T) / 200
            value = drawn.mean(axis=0) + tau * rng.standard_normal(bases)
            pooled = random_effects(value, np.sqrt(np.diag(covariance)), 0.95, covariance, 200)
            found, differ = found + (pooled.p <= 0.05), differ + (pooled.q_p <= 0.05)
        error = 3.5 * np.sqrt(trials * 0.05 * 0.95)
        assert found <= trials * 0.05 + error
        if tau:
            assert found >= trials * 0.05 - error
        else:
            assert abs(differ - trials * 0.05) <= error
