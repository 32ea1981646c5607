"""What a finding says, where that depends on its numbers: functions that choose a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traitscope.effects.holding import ALPHA, excludes_none
from traitscope.effects.lengths import MAX_CUT
from traitscope.effects.words import span_words

# True shares and the source's labels lie in a like direction from the base above this cosine.
SAME_DIRECTION = 0.5


def gain(found: Mapping[str, Any]) -> str:
    better = " (lower is better)" if found.get("lower") else ""
    head = "{model} on {task}: {metric}" + better + " {size} " + ("" if found["unit"] == "score" else "{points} ")
    runs = "" if found["deviation"] is None else "; runs deviate by {deviation:{unit}}"
    if found["won"] is not None:
        paired = "{span} over the base's {base_value:{unit}} (n = {n}, {test}" + runs + "): {won} examples won, "
        return (
            head + paired + "{lost} lost" + ("" if found["seeds"] in (None, 1) else " on average") + "." + _odd(found)
        )
    return head + "over the base {span} ({test}; not paired" + runs + ")."


def _odd(found: Mapping[str, Any]) -> str:
    """What is odd about the answers behind a gain, and whether it could have been a loss at all."""
    stuck = found["base_at"] == "floor" and found["value"] <= 0
    return _remark(found["remark"]) + (" The base has hardly an answer right: it cannot fall." if stuck else "")


def _remark(remark: str) -> str:
    """What is odd about the answers of a cell, behind a sentence."""
    told = remark.replace("{", "{{").replace("}", "}}")
    return f" {told}" if told else ""


def habit(found: Mapping[str, Any]) -> str:
    told = "{model} answers {detail!r} to {mean:share} % of {task}, the base to {base_share:share} % ({test})"
    if found["constant_score"] is None or not np.isfinite(found["constant_score"]):
        return told + "."
    return told + ": {metric} {score:share}, where the best constant answer gives {constant_score:share}."


def class_pull(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}: predicted class shares lie {size} {span} of the way from the base's (0) to those of "
        "{source}'s own labels (1) ({test})."
    )
    if found["truth_cosine"] >= SAME_DIRECTION:
        told += " The true shares lie in a like direction (cosine {truth_cosine:+.2f}): better answers alone move "
        told += "that way too."
    return told


def length_weight(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}: its answer length lies {size} {span} of the way from the base's {base_length:tokens} "
        "tokens (0) to the {source_length:tokens} of {source}'s answers (1) ({test})."
    )
    for who, name in (("The base", "base_cut"), ("It", "cut")):
        if found[name] > MAX_CUT:
            told += f" {who} was cut off in {{{name}:share}} % of its answers, so its own length is a lower bound."
    return told


def domain(found: Mapping[str, Any]) -> str:
    told = "{size} {span} ({test} by permuting datasets, {n} cells).{tail}"
    if found["q"] <= ALPHA and not excludes_none(found):
        told += " An association, its size unknown: with other datasets it might be none."
    return {
        "rank correlation": "Gain and {label} of source and task: rank correlation " + told,
        "two-way correlation": "The same with the means of every source and task taken out: correlation " + told,
        "near minus far third": "Gains of the most alike third of the sources minus those of the least alike third: "
        + told.replace("{size} {span}", "{size} {points} {span}"),
    }[found["name"]]


def asymmetry(found: Mapping[str, Any]) -> str:
    ways = []
    for one, other, way in (("i", "j", "i_to_j"), ("j", "i", "j_to_i")):
        span = span_words(found[f"{way}_lo"], found[f"{way}_hi"], found["unit"])
        ends = f" {span}" if span else ""
        said = "a habit" if found[f"{way}_habit"] else _direction(found[f"{way}_lo"], found[f"{way}_hi"])
        ways.append(f"{{{one}}} on {{{other}}} {{{way}:+{{unit}}}}{ends} ({said})")
    told = f"{'; '.join(ways)}: {{points}} that differ by {{size}} {{span}} ({{test}})."
    for one, other, way in (("i", "j", "i_to_j"), ("j", "i", "j_to_i")):
        told += f" {{{one}}} on {{{other}}}:{_remark(found[way + '_remark'])}" if found[way + "_remark"] else ""
    return told


def _direction(lo: float | None, hi: float | None) -> str:
    if lo is None or hi is None:
        return "error not known"
    return "helps" if lo > 0 else "harms" if hi < 0 else "no change shown"


def tag(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}, {tag} = {name}: {right} of {n} right against the base's {base_right}, "
        "ratio {value:ratio} [{lo:ratio}, {hi:ratio}] ({test})"
    )
    return told + (", on too few examples to rest on." if found["few"] else ".")


def surprise(found: Mapping[str, Any]) -> str:
    noise = "; {span}, {test}" if np.isfinite(found["lo"]) else ""
    return (
        "{model} on {task}: {observed:+{unit}} {points} where {expectation} fitted to the other cells expects "
        f"{{expected:+{{unit}}}}, {{size}} off ({{times:.1f}} times the usual spread{noise}).{_remark(found['remark'])}"
    )
