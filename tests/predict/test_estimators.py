"""The estimators keep scikit-learn's conventions, and their numbers are those of ``fit_traits`` and the predictors."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.forecast import fit_predictor
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.problem import Problem
from traitscope.predict.trait_regression import PENALTIES
from traitscope.sklearn import EvidenceRidge, ScoreImputer, TraitPCA, transfer_pairs
from traitscope.traits import fit_traits

Floats = Any


@parametrize_with_checks(
    [
        TraitPCA(permutations=19, held_out=0),
        TraitPCA(n_traits=1, rotate="varimax", scale=True, permutations=19, held_out=0),
        ScoreImputer(),
        ScoreImputer("additive"),
        EvidenceRidge(),
    ]
)
def test_the_estimators_pass_scikit_learn_s_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def planted(rows: int = 14, columns: int = 9, noise: float = 0.3, seed: int = 0) -> Floats:
    """Scores of two traits and noise."""
    rng = np.random.default_rng(seed)
    both = rng.normal(size=(rows, 2)) @ (np.array([[2.0], [1.2]]) * rng.normal(size=(2, columns)))
    return 50 + both + noise * rng.normal(size=(rows, columns))


def with_holes(scores_IN: Floats, share: float = 0.15, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(scores_IN.shape) < share, np.nan, scores_IN)


def matrix(scores_IN: Floats, stderr_IN: Floats | None = None) -> ScoreMatrix:
    rows, columns = scores_IN.shape
    names = {"index": [f"m{i}" for i in range(rows)], "columns": [f"t{n}" for n in range(columns)]}
    stderr = None if stderr_IN is None else pd.DataFrame(stderr_IN, **names)
    return ScoreMatrix.from_wide(pd.DataFrame(scores_IN, **names), stderr=stderr, units="other")


# ---- TraitPCA


def test_without_holes_the_components_are_those_of_pca_up_to_the_sign() -> None:
    scores_IN = planted()
    mine, theirs = TraitPCA(n_traits=3).fit(scores_IN), PCA(3).fit(scores_IN)
    sign_K = np.sign((mine.components_ * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(mine.components_, sign_K[:, None] * theirs.components_, atol=1e-10)
    np.testing.assert_allclose(mine.transform(scores_IN), sign_K * theirs.transform(scores_IN), atol=1e-9)
    for name in ("mean_", "singular_values_", "explained_variance_", "explained_variance_ratio_"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-10)
    np.testing.assert_allclose(
        mine.inverse_transform(mine.transform(scores_IN)), theirs.inverse_transform(theirs.transform(scores_IN))
    )
    fresh_IN = planted(seed=5)
    np.testing.assert_allclose(mine.transform(fresh_IN), sign_K * theirs.transform(fresh_IN), atol=1e-9)


def test_scaled_components_are_those_of_standardised_columns() -> None:
    scores_IN = planted() * np.arange(1, 10)
    mine = TraitPCA(n_traits=2, scale=True).fit(scores_IN)
    theirs = PCA(2).fit((scores_IN - scores_IN.mean(axis=0)) / scores_IN.std(axis=0, ddof=1))
    np.testing.assert_allclose(mine.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(mine.components_), np.abs(theirs.components_), atol=1e-10)


@pytest.mark.parametrize("rotate", [None, "varimax", "promax"])
@pytest.mark.parametrize("holes", [False, True])
def test_the_numbers_are_those_of_fit_traits(rotate: str | None, holes: bool) -> None:
    scores_IN = with_holes(planted()) if holes else planted()
    mine = TraitPCA(n_traits=2, rotate=rotate, permutations=49, random_state=3).fit(scores_IN)
    traits = fit_traits(
        matrix(scores_IN), own="include", rows="all", k=2, rotate=rotate, permutations=49, replicates=0, seed=3
    )
    np.testing.assert_array_equal(mine.components_, traits.loadings_KN)
    np.testing.assert_array_equal(mine.explained_variance_ratio_, traits.explained_K)
    np.testing.assert_array_equal(mine.null_p_, traits.null.p_M)
    whole_I = ~np.isnan(scores_IN).any(axis=1)
    assert len(mine.outliers_) == 0
    np.testing.assert_allclose(
        mine.transform(scores_IN)[whole_I], (traits.scores_IK * traits.singular_K)[whole_I], atol=1e-8
    )
    np.testing.assert_allclose(
        mine.inverse_transform(traits.scores_IK * traits.singular_K), traits.reconstruct(), atol=1e-8
    )


def test_the_number_of_traits_is_found() -> None:
    scores_IN = planted(rows=24, columns=12)
    known = TraitPCA(permutations=99).fit(scores_IN, stderr=np.full(scores_IN.shape, 0.3))
    assert known.n_traits_ == 2 and known.traits_.count.sequential is not None
    # Without errors held-out cells decide, less sharply.
    assert TraitPCA(permutations=99).fit(scores_IN).n_traits_ in (2, 3)
    assert TraitPCA(permutations=99).fit(np.random.default_rng(0).normal(size=(24, 12))).n_traits_ == 1


def test_a_row_with_holes_is_placed_near_where_it_is_placed_whole() -> None:
    scores_IN = planted(rows=30, noise=0.05)
    mine = TraitPCA(n_traits=2, permutations=19).fit(scores_IN)
    whole_IK = mine.transform(scores_IN)
    holes_IK = mine.transform(with_holes(scores_IN, 0.3))
    assert np.corrcoef(whole_IK.ravel(), holes_IK.ravel())[0, 1] > 0.99
    empty = mine.transform(np.full((1, 9), np.nan))
    assert empty.shape == (1, 2) and np.isnan(empty).all()


def test_frames_keep_their_names() -> None:
    frame = pd.DataFrame(planted(), columns=[f"task {n}" for n in range(9)])
    mine = TraitPCA(n_traits=2, permutations=19).set_output(transform="pandas").fit(frame)
    assert mine.traits_.tasks == tuple(frame.columns) and mine.feature_names_in_.tolist() == list(frame.columns)
    assert mine.transform(frame).columns.tolist() == ["T1", "T2"]
    with pytest.raises(ValueError, match="feature names should match"):
        mine.transform(frame.rename(columns={"task 0": "other"}))


def test_a_task_called_loss_is_not_turned_over() -> None:
    scores_IN = planted()
    names = ["loss", "perplexity", *[f"t{n}" for n in range(7)]]
    named = TraitPCA(n_traits=2, permutations=19).fit(pd.DataFrame(scores_IN, columns=names))
    np.testing.assert_array_equal(named.components_, TraitPCA(2, permutations=19).fit(scores_IN).components_)


@pytest.mark.parametrize(
    ("estimator", "scores_IN", "says"),
    [
        (TraitPCA(n_traits=20), planted(), "k is 20"),
        (TraitPCA(rotate="oblimin"), planted(), "unknown rotate"),
        (TraitPCA(), np.ones((5, 4)), "all models have the same scores"),
        (TraitPCA(), np.vstack([planted(), np.full((1, 9), np.nan)]), "row 14 has no cell"),
        (TraitPCA(permutations=0), planted(), "permutations is 0(.|\n)*1 or more"),
        (TraitPCA(permutations=1.5), planted(), "permutations is 1.5"),
        (TraitPCA(held_out=-1), planted(), "held_out is -1(.|\n)*0 or more"),
        (TraitPCA(replicates=-1), planted(), "replicates is -1"),
        (TraitPCA(scale="yes"), planted(), "scale is 'yes'(.|\n)*True or False"),
        (TraitPCA(), np.hstack([planted(), np.full((14, 1), np.nan)]), "TraitPCA: column 9 has no known cells"),
        *(
            (estimator(random_state=seed), with_holes(planted()), "random_state: .* is no seed(.|\n)*whole number")
            for estimator in (TraitPCA, ScoreImputer)
            for seed in ("x", -1, 1.5, np.random.default_rng(0))
        ),
        (ScoreImputer(), planted() * 1e200, "ScoreImputer: a score is"),
        (ScoreImputer("nearest"), with_holes(planted()), "no predictor is named 'nearest'"),
        (ScoreImputer("other bases"), with_holes(planted()), "cannot be fitted: no other base model"),
        (ScoreImputer(), np.hstack([planted(), np.full((14, 1), np.nan)]), "column 9 has no known cell"),
    ],
)
def test_what_cannot_be_fitted_is_told(estimator: Any, scores_IN: Floats, says: str) -> None:
    with pytest.raises(TraitscopeError, match=says):
        estimator.fit(scores_IN)


def test_a_column_without_spread_does_not_count_in_the_score() -> None:
    fitted_IN = np.hstack([planted(), np.full((14, 1), 3.0)])
    other_IN = np.hstack([planted(seed=5), np.full((14, 1), 1e6)])
    assert ScoreImputer("column mean").fit(fitted_IN).score(other_IN) > -10


def test_features_are_scaled_by_what_is_known_of_them() -> None:
    """Against scikit-learn's ridge on columns that were standardised over their known values."""
    x_CF, y_C = planted(rows=30), np.random.default_rng(1).normal(size=30)
    x_CF[:20, 0] = np.nan
    spread_F = np.nanstd(x_CF, axis=0)
    z_CF = np.nan_to_num((x_CF - np.nanmean(x_CF, axis=0)) / spread_F)
    mine = EvidenceRidge(penalties=[5.0]).fit(x_CF, y_C)
    theirs = Ridge(5.0, fit_intercept=False).fit(z_CF, y_C - y_C.mean())
    np.testing.assert_allclose(mine.coef_, theirs.coef_ / spread_F, rtol=1e-8)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_pair_without_a_group_is_refused_and_told_from_the_mean_over_all(missing: Any) -> None:
    x_CF = planted()
    y_C, groups = x_CF[:, 0], ["a"] * 7 + ["b"] * 7
    with pytest.raises(TraitscopeError, match="pair 3 has no group"):
        EvidenceRidge().fit(x_CF, y_C, [*groups[:3], missing, *groups[4:]])
    found = EvidenceRidge().fit(x_CF, y_C, groups)
    np.testing.assert_array_equal(found.predict(x_CF, [missing] * 14), found.predict(x_CF))


def test_standard_errors_of_another_shape_are_refused() -> None:
    with pytest.raises(TraitscopeError, match="stderr has shape"):
        TraitPCA().fit(planted(), stderr=np.ones(9))


# ---- ScoreImputer


@pytest.mark.parametrize("predictor", ["column mean", "additive", "low rank", "ppca", "residual gp"])
def test_filled_cells_are_what_the_predictor_expects(predictor: str) -> None:
    scores_IN = with_holes(planted())
    mine = ScoreImputer(predictor, random_state=4).fit(scores_IN)
    rows = matrix(scores_IN).table.assign(source=lambda t: t["model"])
    found = fit_predictor(ScoreMatrix.from_long(rows, units="other"), predictor=predictor, seed=4).prediction
    holes_IN = np.isnan(scores_IN)
    np.testing.assert_allclose(mine.filled_[holes_IN], found.values_IN[holes_IN], rtol=1e-12)
    np.testing.assert_array_equal(mine.filled_[~holes_IN], scores_IN[~holes_IN])
    np.testing.assert_allclose(mine.stderr_, found.sd_IN * found.spread_N, rtol=1e-12)
    np.testing.assert_array_equal(mine.transform(scores_IN), mine.filled_)
    np.testing.assert_array_equal(clone(mine).fit_transform(scores_IN), mine.filled_)


def test_the_column_mean_is_the_mean_of_the_known_cells() -> None:
    scores_IN = with_holes(planted())
    filled_IN = ScoreImputer("column mean").fit_transform(scores_IN)
    mean_N = np.nanmean(scores_IN, axis=0)
    np.testing.assert_allclose(filled_IN, np.where(np.isnan(scores_IN), mean_N, scores_IN))


def test_low_rank_fills_a_low_rank_matrix_better_than_the_column_mean() -> None:
    whole_IN = planted(rows=25, columns=12, noise=0.1)
    scores_IN = with_holes(whole_IN)
    holes_IN = np.isnan(scores_IN)

    def error(predictor: str) -> float:
        away = ScoreImputer(predictor).fit_transform(scores_IN)[holes_IN] - whole_IN[holes_IN]
        return float(np.sqrt((away**2).mean()))

    assert error("low rank") < 0.5 * error("column mean")


def test_another_row_is_filled_from_the_fit_alone_whatever_stands_beside_it() -> None:
    scores_IN = planted(rows=26, noise=0.1)
    mine = ScoreImputer().fit(with_holes(scores_IN[:20]))
    fresh_IN = with_holes(scores_IN[20:], 0.3)
    together_IN = mine.transform(fresh_IN)
    apart_IN = np.vstack([mine.transform(row_N[None]) for row_N in fresh_IN])
    np.testing.assert_array_equal(together_IN, apart_IN)
    np.testing.assert_array_equal(together_IN[~np.isnan(fresh_IN)], fresh_IN[~np.isnan(fresh_IN)])
    mean_IN = ScoreImputer("column mean").fit(with_holes(scores_IN[:20])).transform(fresh_IN)
    errors = [((told - scores_IN[20:])[np.isnan(fresh_IN)] ** 2).mean() for told in (together_IN, mean_IN)]
    assert errors[0] < 0.6 * errors[1]


def test_a_grid_search_finds_the_predictor_that_tells_hidden_cells_best() -> None:
    scores_IN = with_holes(planted(rows=24, columns=10, noise=0.1))
    names, folds = ["column mean", "additive", "low rank"], KFold(3, shuffle=True, random_state=0)
    grid = GridSearchCV(ScoreImputer(), {"predictor": names}, cv=folds).fit(scores_IN)
    assert grid.best_params_ == {"predictor": "low rank"}
    by_name = dict(zip(names, grid.cv_results_["mean_test_score"], strict=True))
    # Of column means on standardised columns about one standard deviation is left.
    assert -1.4 < by_name["column mean"] < -0.8 and by_name["low rank"] > -0.7


def test_the_estimators_go_into_a_pipeline_and_through_pickle() -> None:
    scores_IN = with_holes(planted())
    made = make_pipeline(ScoreImputer(), StandardScaler(), TraitPCA(n_traits=2, permutations=19))
    placed_IK = made.fit_transform(scores_IN)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.transform(scores_IN), made.transform(scores_IN))
    np.testing.assert_allclose(placed_IK, made.transform(scores_IN), atol=1e-9)
    changed = clone(made).set_params(traitpca__n_traits=1, scoreimputer__predictor="additive")
    assert changed.fit_transform(scores_IN).shape == (14, 1)


# ---- EvidenceRidge


def pairs(seed: int = 0, *, level: float = 10.0, noise: float = 0.2) -> tuple[Floats, Floats, Floats]:
    """Features and gains of pairs; targets lie at levels of their own, in features too."""
    rng, sources, targets = np.random.default_rng(seed), 9, 6
    x_CF = rng.normal(size=(sources * targets, 3)) * [1.0, 5.0, 0.1]
    groups = np.repeat([f"t{n}" for n in range(targets)], sources)
    level_T = rng.normal(size=targets) * level
    x_CF[:, 0] += np.repeat(rng.normal(size=targets) * 5, sources)
    y_C = x_CF @ [1.0, 0.4, 0.0] + np.repeat(level_T, sources) + noise * rng.normal(size=len(x_CF))
    return x_CF, y_C, groups


def test_the_chosen_penalty_is_the_one_of_least_generalised_cross_validation() -> None:
    x_CF, y_C, _ = pairs()
    mine = EvidenceRidge().fit(x_CF, y_C)
    design = (x_CF - x_CF.mean(axis=0)) / x_CF.std(axis=0)
    z_C = y_C - y_C.mean()

    def gcv(penalty: float) -> float:
        hat = design @ np.linalg.solve(design.T @ design + penalty * np.eye(3), design.T)
        return float(((z_C - hat @ z_C) ** 2).mean() / (1 - np.trace(hat) / len(z_C)) ** 2)

    assert mine.penalty_ == min(PENALTIES, key=gcv)
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=mine.penalty_)).fit(x_CF, y_C)
    np.testing.assert_allclose(mine.predict(x_CF), theirs.predict(x_CF), rtol=1e-9)
    np.testing.assert_allclose(mine.coef_, theirs[-1].coef_ / x_CF.std(axis=0), rtol=1e-9)


def test_within_targets_the_weights_are_right_where_targets_differ_in_level() -> None:
    x_CF, y_C, groups = pairs()
    within, across = EvidenceRidge().fit(x_CF, y_C, groups), EvidenceRidge().fit(x_CF, y_C)
    np.testing.assert_allclose(within.coef_[:2], [1.0, 0.4], atol=0.1)
    assert abs(across.coef_[0] - 1.0) > 0.2
    assert np.corrcoef(within.predict(x_CF, groups), y_C)[0, 1] > 0.99


def test_a_target_that_is_not_known_is_ranked_as_the_features_say() -> None:
    x_CF, y_C, groups = pairs()
    known = groups != "t5"
    mine = EvidenceRidge().fit(x_CF[known], y_C[known], groups[known])
    told_C = mine.predict(x_CF[~known], groups[~known])
    assert np.corrcoef(told_C, y_C[~known])[0, 1] > 0.95
    np.testing.assert_array_equal(told_C, mine.predict(x_CF[~known]))


def test_a_feature_that_is_not_known_says_nothing() -> None:
    x_CF, y_C, groups = pairs()
    x_CF[3, 1] = np.nan
    mine = EvidenceRidge().fit(x_CF, y_C, groups)
    same = x_CF.copy()
    same[3, 1] = np.nanmean(x_CF[groups == groups[3], 1])
    np.testing.assert_allclose(mine.predict(x_CF, groups), mine.predict(same, groups))


def test_the_numbers_are_those_of_the_predictor_trait_regression() -> None:
    rng = np.random.default_rng(2)
    sources, tasks = tuple(f"s{i}" for i in range(8)), tuple(f"t{n}" for n in range(5))
    values_FIN = rng.normal(size=(3, 8, 5))
    scores_IN = np.tensordot([1.0, -0.5, 0.0], values_FIN, 1) + 0.3 * rng.normal(size=(8, 5))
    features = PairFeatures(sources, tasks, ("a", "b", "c"), ("text", "text", "base"), values_FIN)
    table = matrix(scores_IN).table
    table["source"] = table["model"] = table["model"].str.replace("m", "s")
    scores = ScoreMatrix.from_long(table, units="other")
    x, _, groups = transfer_pairs(scores, features)
    z_C = Problem.from_scores(scores).scale.z_BIN[0][
        [sources.index(s) for s, _ in x.index], [tasks.index(t) for _, t in x.index]
    ]
    mine = EvidenceRidge().fit(x, z_C, groups).predict(x, groups)
    found = fit_predictor(scores, features, predictor="trait regression").prediction.z_IN
    np.testing.assert_allclose(mine, [found[sources.index(s), tasks.index(t)] for s, t in x.index], atol=1e-10)


def test_pairs_are_the_transfer_cells_with_gains_over_the_base() -> None:
    frame = pd.DataFrame(
        [[1.0, 2.0], [1.5, np.nan], [0.5, 2.5]], index=["base", "t0", "s1"], columns=["t0", "t1"]
    ).rename_axis("model")
    table = frame.reset_index().melt("model", var_name="task").dropna()
    table["source"] = table["model"].where(table["model"] != "base")
    features = PairFeatures(("t0", "s1"), ("t0", "t1"), ("near",), ("text",), np.arange(4.0).reshape(1, 2, 2))
    scores = ScoreMatrix.from_long(table, units="other")
    x, y, groups = transfer_pairs(scores, features)
    # t0 on its own task is no transfer.
    assert y.to_dict() == {("s1", "t0"): -0.5, ("s1", "t1"): 0.5}
    assert x["near"].to_dict() == {("s1", "t0"): 2.0, ("s1", "t1"): 3.0} and groups.tolist() == ["t0", "t1"]
    rest = transfer_pairs(scores, features, measured=False)
    assert rest.X["near"].to_dict() == {("t0", "t1"): 1.0} and rest.y.isna().all()


def test_a_grid_search_over_penalties_holds_out_whole_targets() -> None:
    x_CF, y_C, groups = pairs(level=0.0)
    grid = GridSearchCV(EvidenceRidge(), {"penalties": [(0.1,), (1e6,)]}, cv=GroupKFold(3))
    grid.fit(x_CF, y_C, groups=groups)
    assert grid.best_params_ == {"penalties": (0.1,)}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"penalties": given}, "numbers above 0") for given in ((0.0,), (), "x", ["x"], [[1.0], [1.0, 2.0]], 3.0)],
)
def test_penalties_are_above_zero(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(TraitscopeError, match=says):
        EvidenceRidge(**arguments).fit(*pairs()[:2])


@pytest.mark.parametrize("groups", [np.ones((54, 2)), np.ones((54, 1)), [["a"]] * 54, 5])
def test_groups_are_one_name_for_every_pair(groups: Any) -> None:
    x_CF, y_C, named = pairs()
    with pytest.raises(TraitscopeError, match="no list of names"):
        EvidenceRidge().fit(x_CF, y_C, groups)
    with pytest.raises(TraitscopeError, match="no list of names"):
        EvidenceRidge().fit(x_CF, y_C, named).predict(x_CF, groups)


def test_every_pair_needs_its_target() -> None:
    x_CF, y_C, groups = pairs()
    with pytest.raises(TraitscopeError, match="53 groups for 54 pairs"):
        EvidenceRidge().fit(x_CF, y_C, groups[1:])


def test_the_module_is_not_imported_with_the_package() -> None:
    import subprocess
    import sys

    code = (
        "import sys, traitscope, traitscope.cli; print('sklearn' in sys.modules, 'traitscope.sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
