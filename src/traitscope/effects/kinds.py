"""The kinds of findings, each declared once: its rows, what they bear, its title, family, unit and sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from traitscope.effects.grid import HOME, Row
from traitscope.effects.words import in_words
from traitscope.matrix.jsontables import plain


def cell(row: Row, name: str) -> Any:
    """A column of a table's row, shown or not; None where the row has none."""
    return row[name] if name in row else row.get(f"_{name}")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of finding, read from the rows of one table.

    Attributes:
        title: heading in the report and in the terminal.
        table: the estimand whose rows it takes (see :mod:`traitscope.effects.compute`).
        sentence: template over the finding's columns and ``numbers`` (see :mod:`traitscope.effects.words`), or
            what chooses one.
        when: which rows bear a finding.
        value, lo, hi, p, n: columns of the table.
        unit, method: the same for all rows, or None where the table has a column of that name.
        detail: template over the table's columns: the class, tag, control or pair it is about.
        numbers: what else the sentence needs: name in the sentence -> column of the table.
        family: columns of the findings over whose common values q is corrected.
    """

    title: str
    table: str
    sentence: str | Callable[[Mapping[str, Any]], str]
    when: Callable[[Row], bool] = lambda row: True
    value: str = "value"
    lo: str = "lo"
    hi: str = "hi"
    p: str = "p"
    n: str = "n"
    unit: str | None = None
    method: str | None = None
    detail: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    family: tuple[str, ...] = ("kind",)

    def finding(self, row: Row) -> Row:
        """The columns of a finding that the table's row gives."""
        return {
            **{name: row.get(name) for name in ("model", "source", "seed", "task")},
            "detail": self.detail.format_map(row),
            **{end: float(cell(row, getattr(self, end))) for end in ("value", "lo", "hi", "p")},
            "n": int(cell(row, self.n)),
            "unit": row["unit"] if self.unit is None else self.unit,
            "method": cell(row, "method") if self.method is None else self.method,
            "numbers": {name: plain(cell(row, column)) for name, column in self.numbers.items()},
        }


def sentence(row: Mapping[str, Any]) -> str:
    """The sentence of one row of the findings."""
    fields = {**row, **row["numbers"]}
    template = KINDS[row["kind"]].sentence
    return in_words(template if isinstance(template, str) else template(fields), fields)


def _gain(found: Mapping[str, Any]) -> str:
    head = "{model} on {task}: {size} {points} "
    if found["won"] is not None:
        paired = "{span} over the base's {base:{unit}} (n = {n}, {test}): {won} examples won, {lost} lost."
        return head + paired
    return head + ("over the base (no standard error)." if found["method"] == "none" else _UNPAIRED)


_UNPAIRED = "over the base {span} ({test}; not paired)."


def _class_pull(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}: predicted class shares lie {size} {span} of the way from the base's (0) to those of "
        "{source}'s own labels (1) ({test})."
    )
    if found["cosine"] < SAME_DIRECTION:
        return told
    return (
        told
        + " The true shares lie in a like direction (cosine {cosine:+.2f}): better answers alone move that way too."
    )


def _length_weight(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}: its answer length lies {size} {span} of the way from the base's {base:tokens} tokens (0) "
        "to the {habit:tokens} of {source}'s answers (1) ({test})."
    )
    for who, name in (("The base", "base_cut"), ("It", "cut")):
        if found[name] > MAX_CUT:
            told += f" {who} was cut off in {{{name}:share}} % of its answers, so its own length is a lower bound."
    return told


def _domain(found: Mapping[str, Any]) -> str:
    return {
        "rank correlation": "Gain and {label} of source and task: rank correlation {size} {span} "
        "({test} by permuting datasets, {n} cells).{tail}",
        "two-way correlation": "The same with the means of every source and task taken out: correlation {size} {span} "
        "({test} by permuting datasets, {n} cells).{tail}",
        "near minus far third": "The most alike third of the sources gains {size} {span} {points} more than the least "
        "alike third ({test} by permuting datasets, {n} cells).{tail}",
    }[found["name"]]


def _tag(found: Mapping[str, Any]) -> str:
    told = (
        "{model} on {task}, {tag} = {name}: {right} of {n} right against the base's {base}, ratio {value:ratio} "
        "[{lo:ratio}, {hi:ratio}] ({test})"
    )
    return told + (", on too few examples to rest on." if found["few"] else ".")


def _surprise(found: Mapping[str, Any]) -> str:
    noise = "; {span}, {test}" if np.isfinite(found["lo"]) else ""
    return (
        "{model} on {task}: {observed:+{unit}} {points} where {expectation} fitted to the other cells expects "
        f"{{expected:+{{unit}}}}, {{size}} off ({{times:.1f}} times the usual spread{noise})."
    )


def _rate(kind: str, title: str, what: str) -> Kind:
    return Kind(
        title=title,
        table="rates",
        when=lambda row: row["rate"] == kind,
        value="change",
        unit="share",
        numbers={"rate": "value", "base": "base_value"},
        sentence=f"{{model}} on {{task}}: {{rate:share}} % {what}, the base {{base:share}} %: {{size}} points {{span}} "
        "({test}).",
    )


def _surprises(kind: str, title: str) -> Kind:
    return Kind(
        title=title,
        table="surprises",
        when=lambda row: row["against"] == kind,
        value="residual",
        numbers={"observed": "observed", "expected": "expected", "times": "times", "expectation": "expectation"},
        sentence=_surprise,
    )


def _pooled(kind: str, title: str, what: str) -> Kind:
    return Kind(
        title=title,
        table="pooled",
        when=lambda row: row["kind"] == kind,
        detail="{towards}",
        unit="weight",
        method="jackknife over sources",
        numbers={"sources": "sources"},
        sentence=f"Over {{n}} cells of {{sources}} sources on tasks not their own, {what} go {{size}} {{span}} of the "
        "way from the base's to {detail} ({test}).",
    )


# True shares and the source's labels lie in a like direction from the base above this cosine.
SAME_DIRECTION = 0.5
# Above this share of answers cut off, the mean length says where they were cut.
MAX_CUT = 0.1

KINDS: dict[str, Kind] = {
    "gain": Kind(
        title="Gains over the base",
        table="gains",
        value="gain",
        numbers={"base": "base_value", "won": "won", "lost": "lost"},
        sentence=_gain,
    ),
    "source_gain": Kind(
        title="Gains of sources, seeds together",
        table="source_gains",
        unit="share",
        numbers={"seeds": "seeds", "deviation": "deviation"},
        sentence="{source} on {task}: {size} points {span} over the base, mean of {seeds} seeds whose deviation is "
        "{deviation:share} points ({test}).",
    ),
    "macro_f1": Kind(
        title="Macro-F1",
        table="macro_f1",
        when=lambda row: not row["_base"],
        value="change",
        lo="change_lo",
        hi="change_hi",
        unit="share",
        method="bootstrap",
        numbers={"f1": "macro_f1", "accuracy": "accuracy"},
        sentence="{model} on {task}: macro-F1 {f1:share} at accuracy {accuracy:share}, {size} points {span} against "
        "the base ({test}).",
    ),
    "class_share": Kind(
        title="Predicted class shares",
        table="classes",
        when=lambda row: not row["_base"],
        value="share_change",
        lo="share_lo",
        hi="share_hi",
        p="share_p",
        unit="share",
        method="paired",
        detail="{class}",
        numbers={"share": "share", "base": "base_share", "gold": "gold_share"},
        sentence="{model} answers {detail!r} to {share:share} % of {task}, where the base does to {base:share} % and "
        "{gold:share} % are true: {size} points {span} ({test}).",
    ),
    "recall": Kind(
        title="Recall by class",
        table="classes",
        when=lambda row: not row["_base"] and row["n_gold"] > 0,
        value="recall_change",
        lo="recall_lo",
        hi="recall_hi",
        p="recall_p",
        n="n_gold",
        unit="share",
        method="paired",
        detail="{class}",
        numbers={"recall": "recall", "base": "base_recall"},
        sentence="{model} finds {recall:share} % of the {n} true {detail!r} of {task}, the base {base:share} %: "
        "{size} points {span} ({test}).",
    ),
    "class_pull": Kind(
        title="Predicted class shares towards the source's labels",
        table="class_pull",
        when=lambda row: row["relation"] not in HOME and bool(np.isfinite(row["weight"])),
        value="weight",
        unit="weight",
        method="bootstrap",
        numbers={"cosine": "truth_cosine"},
        sentence=_class_pull,
    ),
    "class_pull_pooled": _pooled(
        "class_pull_pooled",
        "Predicted class shares towards the source's labels, beside the truth, all cells",
        "predicted class shares",
    ),
    "length_shift": Kind(
        title="Answer length",
        table="lengths",
        value="shift",
        unit="tokens",
        numbers={"length": "length", "base": "base_length"},
        sentence="{model} answers {task} in {length:tokens} tokens, the base in {base:tokens}: {size} {span} ({test}).",
    ),
    "length_weight": Kind(
        title="Length between the base's habit and the source's",
        table="lengths",
        when=lambda row: row["relation"] not in HOME and not row["undefined"],
        value="weight",
        lo="weight_lo",
        hi="weight_hi",
        p="weight_p",
        unit="weight",
        method="bootstrap",
        numbers={"base": "base_length", "habit": "source_length", "base_cut": "base_cut", "cut": "cut"},
        sentence=_length_weight,
    ),
    "length_weight_pooled": _pooled(
        "length_weight_pooled", "Length between the base's habit and the source's, all cells", "answer lengths"
    ),
    "invalid": _rate("invalid", "Answers that cannot be parsed", "answers that cannot be parsed"),
    "cut_off": _rate("cut_off", "Answers cut off", "answers cut off by length"),
    "asymmetry": Kind(
        title="Asymmetry",
        table="asymmetry",
        value="difference",
        detail="{i} -> {j} minus {j} -> {i}",
        numbers={"i": "i", "j": "j", "there": "i_to_j", "back": "j_to_i"},
        sentence="{i} gives {j} {there:+{unit}} {points}, {j} gives {i} {back:+{unit}}: a difference of {size} {span} "
        "({test}).",
    ),
    "domain": Kind(
        title="Near against far domains",
        table="domain_tests",
        method="jackknife over datasets",
        detail="{label}: {name}{tail}",
        numbers={"label": "label", "name": "name", "tail": "tail"},
        sentence=_domain,
    ),
    "control_own": Kind(
        title="Controls on their own task",
        table="controls",
        when=lambda row: bool(row["own"]),
        value="difference",
        detail="{source}",
        numbers={"mean": "value", "unaltered": "parent_value", "parent": "parent"},
        sentence="{source} on its own task {task}: {mean:{unit}} against {unaltered:{unit}} of the unaltered {parent}, "
        "{size} {points} {span} ({test}).",
    ),
    "control_transfer": Kind(
        title="Controls on the other tasks",
        table="controls_elsewhere",
        method="bootstrap",
        detail="{source}",
        numbers={"parent": "parent"},
        sentence="{source} against the unaltered {parent} on the {n} other tasks: {size} {points} on average {span} "
        "({test}).",
    ),
    "tag": Kind(
        title="Success by tag",
        table="tags",
        value="ratio",
        unit="ratio",
        method="log ratio",
        detail="{tag}={value}",
        numbers={"tag": "tag", "name": "value", "right": "right", "base": "base_right", "few": "few"},
        sentence=_tag,
    ),
    "surprise": _surprises("surprise", "Surprises against an additive model"),
    "surprise_similarity": _surprises("surprise_similarity", "Surprises against an additive model with similarity"),
}
