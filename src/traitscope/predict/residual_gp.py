"""The residual Gaussian process: what other base models say, and what the target's own cells say about the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from traitscope.predict.baselines import known_noise, prior_of_others, settled
from traitscope.predict.gp import LEVEL_VARIANCE, MOST_CELLS, Posterior, learn_amplitudes, posterior
from traitscope.predict.low_rank import LowRankChoice, choose_low_rank, factorise
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import PREDICTORS, CannotFit, Prediction
from traitscope.predict.problem import Problem, Scale
from traitscope.predict.trait_regression import standard_features

Floats = npt.NDArray[np.float64]

# Sizes of a source's effect on all tasks that are tried beside the factors, where one base model is known alone.
ROWS = (0.0, 0.3, 0.6, 1.0)
# Share of a column's variance that is error where nobody knows the error: another epoch of a run differs by as much.
UNKNOWN_NOISE = 0.1
# Sources times tasks of the largest matrix: its kernels take a gigabyte or two.
LARGEST = 5000
# Prior variance, in z, that each learned kernel starts from.
FIRST = 0.2
# Known cells from which a column's own loadings are believed.
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Learned:
    """What stays when more cells are hidden.

    Attributes:
        names: of the J kernels. parts_JCC: the kernels. amplitudes_J: their variances.
        nugget: variance of each cell's own, beside known noise.
        mean_IN: prior mean. choice: factors to refit, where one base model is known alone.
        note: what a reader must know.
    """

    names: tuple[str, ...]
    parts_JCC: Floats
    amplitudes_J: Floats
    nugget: float
    mean_IN: Floats
    choice: LowRankChoice | None
    note: str


@PREDICTORS.register(
    "factor gp",
    version=1,
    reference="Rasmussen & Williams 2006; kernel from the factors of Koren, Bell & Volinsky 2009",
)
def factor_gp(problem: Problem, rng: np.random.Generator) -> Prediction:
    """A Gaussian process over the target base's own cells, its task kernel from their factors, and over the features.

    Rank, penalty and row effect by inner folds, amplitudes of the features' kernels by marginal likelihood.
    """
    _refuse_large(problem)
    alone = problem.alone()
    return _predict(alone, learned=_learn_alone(alone, alone.scale, rng))


@PREDICTORS.register(
    "residual gp",
    version=1,
    reference="Rasmussen & Williams 2006; task kernel as Bonilla, Chai & Williams 2008, NIPS 20",
)
def residual_gp(problem: Problem, rng: np.random.Generator) -> Prediction:
    """A Gaussian process over source x task around the shrunken mean of the other base models.

    Its kernels: a row effect; a weighting of the other base models (their z of the same cell, linear); what is left in
    them, source x task, by correlations learned from their residuals; the features of the pairs, linear and by source.
    Every known column has a free level. Amplitudes by marginal likelihood. Where no other base model is known, this is
    ``factor gp``.
    """
    if not problem.others:
        return factor_gp(problem, rng)
    _refuse_large(problem)
    return _predict(problem, learned=_learn(problem, problem.scale))


def _refuse_large(problem: Problem) -> None:
    cells = problem.known_IN.size
    if cells > LARGEST:
        raise CannotFit(f"the covariance of {cells} cells does not fit into memory (at most {LARGEST})")


def _cells(problem: Problem, scale: Scale) -> npt.NDArray[np.int64]:
    """Known cells that count, row by row."""
    return np.flatnonzero(np.isfinite(scale.z_BIN[problem.target]))


def _levels(problem: Problem) -> Floats:
    """Kernel of the columns' levels. A column without a known cell has none: its z is around its own mean."""
    known_N = problem.known_IN.any(axis=0)
    return np.asarray(np.kron(np.ones((len(problem.sources),) * 2), np.diag(LEVEL_VARIANCE * known_N)))


def _learn(problem: Problem, scale: Scale) -> Learned:
    n_rows, n_columns = problem.known_IN.shape
    others = prior_of_others(problem, scale)
    rest_BIN = others.residuals_BIN - others.residuals_BIN.mean(axis=1, keepdims=True)
    tasks_NN = shrunk_correlation(rest_BIN.reshape(-1, n_columns))
    by_source_BNI = np.swapaxes(rest_BIN - rest_BIN.mean(axis=2, keepdims=True), 1, 2)
    sources_II = shrunk_correlation(by_source_BNI.reshape(-1, n_rows))
    same_II = np.eye(n_rows)
    of_bases_CB = others.z_BIN.reshape(len(others.z_BIN), -1).T / np.sqrt(len(others.z_BIN))
    parts = {
        "row effect": np.kron(same_II, np.ones((n_columns, n_columns))),
        "related tasks": np.kron(same_II, tasks_NN),
        "weights of the base models": of_bases_CB @ of_bases_CB.T,
        "related sources and tasks": np.kron(sources_II, tasks_NN),
    }
    if problem.features is not None and problem.features.names:
        parts |= _feature_parts(problem.features, tasks_NN)
    return _amplitudes(problem, scale, parts, others.mean_IN, None, "")


def _learn_alone(problem: Problem, scale: Scale, rng: np.random.Generator) -> Learned:
    n_rows, n_columns = problem.known_IN.shape
    mean_IN = np.zeros((n_rows, n_columns))
    first = Learned((), np.zeros((0, n_rows * n_columns, n_rows * n_columns)), np.zeros(0), 1.0, mean_IN, None, "")
    if problem.features is not None and problem.features.names:
        parts = _feature_parts(problem.features, np.ones((n_columns, n_columns)))
        first = _amplitudes(problem, scale, parts, mean_IN, None, "")
    # Factors are looked for in what the features leave, so that both do not explain the same cells.
    told = _posterior(problem, scale, first)[1]
    left_IN = scale.z_BIN[problem.target] - sum((told[name] for name in first.names), mean_IN)
    choice = choose_low_rank(left_IN if first.names else scale.z_BIN[problem.target], rng, ROWS)
    note = "" if not choice.empty or first.names else "no factor predicts left-out cells: this is the column mean"
    nugget = min(first.nugget, choice.error) if first.names else choice.error
    return Learned(first.names, first.parts_JCC, first.amplitudes_J, nugget, mean_IN, choice, note)


def _amplitudes(
    problem: Problem,
    scale: Scale,
    parts: dict[str, Floats],
    mean_IN: Floats,
    choice: LowRankChoice | None,
    note: str,
) -> Learned:
    """Variances of the kernels, by marginal likelihood of the known cells (a spread-out part of very many)."""
    known_K = _cells(problem, scale)
    if len(known_K) > MOST_CELLS:
        known_K = known_K[np.linspace(0, len(known_K) - 1, MOST_CELLS).astype(np.int64)]
    parts_JCC = np.array(list(parts.values()))
    amplitudes_J, nugget = np.full(len(parts), FIRST), 2.0 * FIRST
    if len(known_K) > len(parts) + 2:
        at = np.ix_(known_K, known_K)
        amplitudes_J, nugget = learn_amplitudes(
            np.ascontiguousarray(parts_JCC[:, known_K][:, :, known_K]),
            _levels(problem)[at],
            (scale.z_BIN[problem.target] - mean_IN).ravel()[known_K],
            known_noise(problem, scale).ravel()[known_K],
            amplitudes_J,
            nugget,
        )
    return Learned(tuple(parts), parts_JCC, amplitudes_J, nugget, mean_IN, choice, note)


def _kernels(problem: Problem, scale: Scale, learned: Learned) -> dict[str, Floats]:
    """Every kernel with its variance, factors of the cells that are known now included."""
    weighted = learned.amplitudes_J[:, None, None] * learned.parts_JCC
    kernels = dict(zip(learned.names, weighted, strict=True))
    choice = learned.choice
    if choice is not None and not choice.empty:
        z_IN, n_rows = scale.z_BIN[problem.target], len(problem.sources)
        # The ridge of the factorisation is that of u with this variance under this noise.
        variance = learned.nugget / choice.penalty
        v_NK = factorise(z_IN[None], choice.rank, choice.penalty)[1][0]
        known_N = np.isfinite(z_IN).sum(axis=0) >= FEWEST
        # A target of which next to nothing is known is expected to load as the others do on average, and may differ as
        # much as they do: one or two cells, taken around their own mean, would say that it loads on nothing.
        middle_K = v_NK[known_N].mean(axis=0) if known_N.any() else np.zeros(v_NK.shape[1])
        v_NK = np.where(known_N[:, None], v_NK, middle_K)
        apart = float(((v_NK - middle_K) ** 2).sum() / max(1, known_N.sum()))
        tasks_NN = v_NK @ v_NK.T + np.diag(np.where(known_N, 0.0, apart))
        kernels["factors"] = np.kron(np.eye(n_rows), variance * tasks_NN)
        all_NN = np.full((len(problem.tasks),) * 2, variance * choice.row**2)
        kernels["row effect"] = np.kron(np.eye(n_rows), all_NN)
    return kernels


def _errors(problem: Problem, scale: Scale, learned: Learned) -> Floats:
    """Error variance of every cell: as it is known, or the usual share where nobody knows it."""
    noise_C = known_noise(problem, scale).ravel()
    return np.where(noise_C > 0, noise_C, min(UNKNOWN_NOISE, 0.5 * learned.nugget))


def _posterior(problem: Problem, scale: Scale, learned: Learned) -> tuple[Posterior, dict[str, Floats]]:
    """All true cells, and the part that each kernel has in their means."""
    z_C, mean_C = scale.z_BIN[problem.target].ravel(), learned.mean_IN.ravel()
    known_K = _cells(problem, scale)
    noise_C, error_C = known_noise(problem, scale).ravel(), _errors(problem, scale, learned)
    kernels = _kernels(problem, scale, learned)
    kernels["level of the column"] = _levels(problem)
    # Of the nugget, what is no error of measurement is the cell's own true value.
    kernels["the cell's own"] = np.diag(learned.nugget + noise_C - error_C)
    total_CC = sum(kernels.values(), np.zeros((len(z_C), len(z_C))))
    values_K = z_C[known_K] - mean_C[known_K]
    found = posterior(total_CC, known_K, values_K, error_C[known_K])
    # What the mean leaves of a known cell, over its error variance, feeds every kernel's part.
    fed_K = (values_K - found.mean_C[known_K]) / error_C[known_K]
    shape = problem.known_IN.shape
    pieces = {name: (kernel[:, known_K] @ fed_K).reshape(shape) for name, kernel in kernels.items()}
    return Posterior(mean_C + found.mean_C, found.covariance_CC), pieces


def _predict(problem: Problem, *, learned: Learned) -> Prediction:
    if learned.choice is not None:
        problem = problem.alone()
    scale, t, shape = problem.scale, problem.target, problem.known_IN.shape
    found, pieces = _posterior(problem, scale, learned)
    variance_C = np.diag(found.covariance_CC) + _errors(problem, scale, learned)
    raw_IN = found.mean_C.reshape(shape)
    z_IN = settled(raw_IN, problem, scale)
    pieces["level of the column"] = pieces["level of the column"] + z_IN - raw_IN
    if problem.others:
        pieces = {"other base models": learned.mean_IN, **pieces}
    return Prediction(
        z_IN,
        np.sqrt(np.maximum(variance_C, 1e-12)).reshape(shape),
        scale.centre_BN[t],
        scale.spread_BN[t],
        pieces,
        found.covariance_CC,
        learned.note,
        partial(_predict, learned=learned),
    )


def shrunk_correlation(rows_RS: Floats) -> Floats:
    """Correlations of the columns, drawn to zero as far as R rows leave them unsure.

    Ledoit & Wolf (2004), J. Multivar. Anal. 88:365, on columns scaled to unit mean square and not centred.
    """
    n_rows, size = rows_RS.shape
    root_S = np.sqrt((rows_RS**2).mean(axis=0))
    scaled_RS = rows_RS / np.where(root_S > 1e-9, root_S, 1.0)
    sample_SS = scaled_RS.T @ scaled_RS / n_rows
    level = np.trace(sample_SS) / size
    apart = ((sample_SS - level * np.eye(size)) ** 2).sum()
    unsure = ((scaled_RS**2).sum(axis=1) ** 2).sum() / n_rows**2 - (sample_SS**2).sum() / n_rows
    share = float(np.clip(unsure / apart, 0.0, 1.0)) if apart > 0 else 1.0
    return (1.0 - share) * sample_SS + share * level * np.eye(size)


def _feature_parts(features: PairFeatures, tasks_NN: Floats) -> dict[str, Floats]:
    """Kernels of the pairs' features: linear in them, and by how alike two sources are over all targets."""
    design_FIN = standard_features(features)
    linear_CF = design_FIN.reshape(len(design_FIN), -1).T / np.sqrt(len(design_FIN))
    profile_IP = np.swapaxes(design_FIN, 0, 1).reshape(design_FIN.shape[1], -1)
    apart_II = ((profile_IP[:, None] - profile_IP) ** 2).sum(axis=2)
    away = apart_II[~np.eye(len(apart_II), dtype=bool)]
    usual = float(np.median(away)) if len(away) else 1.0
    like_II = np.exp(-apart_II / max(usual, 1e-12))
    return {"features": linear_CF @ linear_CF.T, "alike sources": np.kron(like_II, tasks_NN)}
