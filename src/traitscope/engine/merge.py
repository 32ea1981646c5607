"""Several adapters as one: the weighted sum of their updates, or what TIES and DARE make of them.

The update of an adapter is W += scale B A. PEFT's own ``linear``, ``ties`` and ``dare_linear`` combine A with A and B
with B, which is no sum of updates: (B1 + B2)(A1 + A2) has cross terms. Here the updates themselves are combined.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from traitscope.engine.base import Base
from traitscope.engine.lora import Adapter, LoraSpec, Piece
from traitscope.errors import TraitscopeError

WAYS = ("linear", "ties", "dare")


def merge_adapters(
    base: Base,
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    *,
    how: str = "linear",
    density: float = 0.5,
    seed: int = 0,
) -> Adapter:
    """One adapter whose update is made of those of several; a module that some lack counts as 0 there.

    - ``linear``: sum of weight x update, exactly: the factors stand side by side (PEFT's ``cat``), and the rank is the
      sum of the ranks.
    - ``ties``: the largest ``density`` of the entries of every update, of these the ones with the majority's sign,
      averaged (Yadav et al. 2023; PEFT's ``ties``, on whole updates as in its ``ties_svd``).
    - ``dare``: a random ``density`` of the entries of every update, divided by it, and summed (Yu et al. 2024; PEFT's
      ``dare_linear``, on whole updates).

    The last two have full rank; the best approximation by the rank of ``linear`` is kept (SVD).

    Args:
        base: what the adapters are of.
        adapters: two or more.
        weights: one for each.
        how: one of ``WAYS``.
        density: share of the entries that are kept.
        seed: of DARE's draws.

    Raises:
        TraitscopeError: an unknown way, or fewer than two adapters.
    """
    if how not in WAYS:
        raise TraitscopeError(f"unknown way to merge {how!r}", where="--merge", fix=f"one of: {', '.join(WAYS)}")
    if len(adapters) < 2 or len(weights) != len(adapters):
        raise TraitscopeError(
            f"{len(adapters)} adapters with {len(weights)} weights",
            where="merge",
            fix="name two or more, a weight each",
        )
    if not 0 < density <= 1:
        raise TraitscopeError(f"density is {density}", where="merge", fix="a share above 0, at most 1")
    present = {piece.name for adapter in adapters for piece in adapter.pieces}
    names = [name for name in base.linear_names if name in present]
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name in names:
        parts = [_part(adapter, name, weight) for adapter, weight in zip(adapters, weights, strict=True)]
        a_RD, b_OR = (torch.cat([part[k] for part in parts if part is not None], dim=1 - k) for k in (1, 0))
        pairs[name] = (b_OR, a_RD)
        if how != "linear":
            pairs[name] = _dense(adapters, weights, name, how, density, generator, a_RD.shape[0])
    return _packed(pairs, adapters[0].flat.dtype)


def _part(adapter: Adapter, name: str, weight: float) -> tuple[torch.Tensor, torch.Tensor] | None:
    """weight x scale x B, and A, of one module; None where the adapter leaves it alone."""
    piece = next((piece for piece in adapter.pieces if piece.name == name), None)
    if piece is None:
        return None
    a_RD, b_OR = piece.views(adapter.flat)
    return b_OR * (weight * piece.scale), a_RD


def _dense(
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    name: str,
    how: str,
    density: float,
    generator: torch.Generator,
    rank: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    from peft.utils.merge_utils import dare_linear, ties

    found = [(_part(adapter, name, 1.0), weight) for adapter, weight in zip(adapters, weights, strict=True)]
    updates = [part[0] @ part[1] for part, _ in found if part is not None]
    weight_A = torch.tensor([weight for part, weight in found if part is not None], dtype=updates[0].dtype)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # PEFT warns that a density of 1 prunes nothing.
        warnings.simplefilter("ignore")
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        merged_OD = ties(updates, weight_A, density) if how == "ties" else dare_linear(updates, weight_A, density)
    u_OK, s_K, v_KD = torch.linalg.svd(merged_OD.double(), full_matrices=False)
    kept = min(rank, len(s_K))
    root_K = s_K[:kept].sqrt()
    return (u_OK[:, :kept] * root_K).to(merged_OD.dtype), (root_K[:, None] * v_KD[:kept]).to(merged_OD.dtype)


def _packed(pairs: dict[str, tuple[torch.Tensor, torch.Tensor]], dtype: torch.dtype) -> Adapter:
    """An adapter of scale 1 from B and A of every module."""
    pieces, parts, start = [], [], 0
    for name, (b_OR, a_RD) in pairs.items():
        piece = Piece(name, a_RD.shape[0], 1.0, a_RD.shape[1], b_OR.shape[0], start)
        pieces.append(piece)
        parts += [a_RD.reshape(-1), b_OR.reshape(-1)]
        start += piece.size
    rank = max(piece.rank for piece in pieces)
    other = tuple((piece.name.replace(".", r"\."), float(piece.rank)) for piece in pieces if piece.rank != rank)
    spec = LoraSpec(rank, float(rank), tuple(piece.name for piece in pieces), rank_pattern=other, alpha_pattern=other)
    return Adapter(spec, tuple(pieces), torch.cat(parts).to(dtype))


def main_directions(adapter: Adapter) -> dict[str, torch.Tensor]:
    """Of every module the input direction that the adapter's update stretches most: unit vectors [D_in].

    The first right-singular vector of B A, from QR of the factors and an SVD of R x R: Arrow's prototype (Ostapenko et
    al. 2024, Towards Modular LLMs by Building and Reusing a Library of LoRAs).
    """
    found = {}
    for piece in adapter.pieces:
        a_RD, b_OR = (view.double() for view in piece.views(adapter.flat))
        _, right_RR = torch.linalg.qr(b_OR)
        basis_DR, left_RR = torch.linalg.qr(a_RD.T)
        _, _, v_RR = torch.linalg.svd(right_RR @ left_RR.T)
        found[piece.name] = (basis_DR @ v_RR[0]).to(adapter.flat.dtype)
    return found
