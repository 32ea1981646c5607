"""Draws of tokens: each by its seed, row, sample and place alone, whatever batch, order or model it is drawn in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from traitscope.config.task import LEAST_TEMPERATURE
from traitscope.engine.loss import logits_at_once
from traitscope.errors import TraitscopeError, check_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        samples: answers for every prompt.
        temperature: at least ``LEAST_TEMPERATURE``; logits are divided by it.
        top_p: the smallest set of likeliest tokens that holds so much of the probability is drawn from (arXiv
            1904.09751), 0 < top_p <= 1; as ``TopPLogitsWarper`` of transformers.
        top_k: only so many of the likeliest tokens are drawn from; 0: all.
        seed: of all draws.
    """

    samples: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.samples, "samples")
        if not (LEAST_TEMPERATURE <= self.temperature < float("inf") and 0 < self.top_p <= 1 and self.top_k >= 0):
            raise TraitscopeError(
                f"cannot draw with temperature {self.temperature}, top_p {self.top_p} and top_k {self.top_k}",
                where="sampling",
                fix=f"write a temperature of {LEAST_TEMPERATURE:g} or more, a top_p above 0 and at most 1, "
                "a top_k of 0 or more",
            )


def uniform(seed: int, key: str, sample: int, place: int) -> float:
    """The number in [0, 1) that the token at one place of one sample is drawn with: 53 bits of a SHA-256."""
    text = f"{seed}\x1f{key}\x1f{sample}\x1f{place}".encode("utf-8", "surrogatepass")
    return (int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 11) / 2**53


class Sampler:
    """Draws for the answers of one generation.

    Args:
        sampling: how.
        keys: what tells the prompts apart; answer number i belongs to prompt i // samples.
    """

    def __init__(self, sampling: Sampling, keys: Sequence[str]) -> None:
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        self.sampling, self.keys = sampling, keys
        self.warp = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
        if sampling.top_k:
            self.warp.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self.warp.append(TopPLogitsWarper(sampling.top_p))

    def draw(self, logits_BV: torch.Tensor, answers: Sequence[int], places: Sequence[int]) -> list[int]:
        """One token per row: the first whose cumulated probability exceeds the row's number.

        Args:
            logits_BV: of the next token.
            answers: the answers' numbers. places: how many tokens each has already.
        """
        n = self.sampling.samples
        numbers = [
            uniform(self.sampling.seed, self.keys[answer // n], answer % n, place)
            for answer, place in zip(answers, places, strict=True)
        ]
        step = max(1, logits_at_once(logits_BV.device) // logits_BV.shape[-1])
        found: list[int] = []
        for start in range(0, len(numbers), step):
            part_BV = logits_BV[start : start + step].float()
            # The warpers ask for the tokens so far and do not look at them.
            warped_BV = self.warp(torch.empty(len(part_BV), 0, dtype=torch.long, device=part_BV.device), part_BV)
            mass_BV = warped_BV.double().softmax(dim=-1).cumsum(dim=-1)
            number_B1 = torch.tensor(numbers[start : start + step], dtype=torch.float64, device=part_BV.device)[:, None]
            # Of a sum that rounding left below one the whole counts as one, so that the last place is a possible token.
            found += torch.searchsorted(mass_BV, number_B1 * mass_BV[:, -1:], right=True)[:, 0].tolist()
        return found
