"""The kinds of findings, each declared once: its rows, what they bear, its title, unit and sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.effects import sentences
from traitscope.effects.grid import HOME, Row
from traitscope.effects.words import in_words
from traitscope.jsontables import plain


@dataclass(frozen=True)
class Kind:
    """One kind of finding, read from the rows of one table.

    Attributes:
        title: heading in the report and in the terminal.
        table: the estimand whose rows it takes (see :mod:`traitscope.effects.compute`). Columns may stand in a row
            under their name, or after an underscore where the table does not show them.
        sentence: template over the finding's columns and ``numbers`` (see :mod:`traitscope.effects.words`), or
            what chooses one.
        numbers: columns that the sentence needs besides those of a finding.
        when: which rows bear a finding.
        value, n: columns of the table; ends: prefix of its columns lo, hi and p.
        unit, method: the same for all rows, or None where they are columns.
        detail: template over the columns: the class, tag, control, unit or pair it is about.
        runs: whether it is of a single training run, so that the seeds of a source are averaged where it is told.
        scale: column by which the values of several sources are multiplied before they scatter alike.
    """

    title: str
    table: str
    sentence: str | Callable[[Mapping[str, Any]], str]
    numbers: tuple[str, ...] = ()
    when: Callable[[Row], bool] = lambda row: True
    value: str = "value"
    ends: str = ""
    n: str = "n"
    unit: str | None = None
    method: str | None = None
    detail: str = ""
    runs: bool = False
    scale: str = ""

    def finding(self, row: Row) -> Row:
        """The columns of a finding that the table's row gives."""
        cells = {name.removeprefix("_"): value for name, value in row.items()}
        return {
            **{name: cells.get(name) for name in ("model", "source", "seed", "task")},
            "detail": self.detail.format_map(cells),
            "value": float(cells[self.value]),
            **{end: float(cells[self.ends + end]) for end in ("lo", "hi", "p")},
            "n": int(cells[self.n]),
            "unit": self.unit or cells["unit"],
            "method": self.method or cells["method"],
            "numbers": {name: plain(cells.get(name)) for name in self.numbers},
            "alone": float(cells.get(self.ends + "alone", 0.0)),
            "scale": float(cells[self.scale]) if self.scale else 1.0,
        }


def sentence(finding: Mapping[str, Any]) -> str:
    """The sentence of one row of the findings."""
    fields = {**finding, **finding["numbers"]}
    seeds = fields.get("seeds") or 1
    if seeds > 1 and fields["model"]:
        of_all = f" of {fields['all_seeds']}" if (fields.get("all_seeds") or seeds) > seeds else ""
        fields["model"] = f"{fields['model']} (mean of {seeds}{of_all} seeds)"
    template = KINDS[finding["kind"]].sentence
    return in_words(template if isinstance(template, str) else template(fields), fields)


def _surprises(kind: str, title: str) -> Kind:
    numbers = ("observed", "expected", "times", "expectation", "seeds", "remark")
    return Kind(title, "surprises", sentences.surprise, numbers, lambda row: row["against"] == kind, "residual")


def _rate(kind: str, title: str, what: str) -> Kind:
    told = f"{{model}} on {{task}}: {{mean:share}} % {what}, the base {{base_value:share}} %: {{size}} points {{span}} "
    numbers = ("mean", "base_value")
    when = lambda row: row["rate"] == kind  # noqa: E731
    return Kind(title, "rates", told + "({test}).", numbers, when, "change", unit="share", runs=True)


def _pooled(kind: str, title: str, what: str, habit: str) -> Kind:
    told = f"Over {{n}} cells of {{sources}} sources on tasks not their own, {what} on one task differ by {{size}} "
    return Kind(
        title=title,
        table="pooled",
        sentence=told + f"{{span}} of what {habit} differ by (0: no habit, 1: all of it) ({{test}}).",
        numbers=("sources",),
        when=lambda row: row["kind"] == kind,
        unit="weight",
        method="within tasks, jackknife over sources",
        detail="{towards}",
    )


KINDS: dict[str, Kind] = {
    "gain": Kind(
        "Gains over the base",
        "claimed_gains",
        sentences.gain,
        (
            "metric",
            "lower",
            "base_value",
            "won",
            "lost",
            "remark",
            "base_at",
            "deviation",
            "seeds",
            "all_seeds",
            "runs",
        ),
        value="gain",
    ),
    "macro_f1": Kind(
        title="Macro-F1 beside another first metric",
        runs=True,
        table="macro_f1",
        sentence="{model} on {task}: macro-F1 {macro_f1:share} at accuracy {accuracy:share}, {size} points {span} "
        "against the base ({test}).",
        numbers=("macro_f1", "accuracy"),
        when=lambda row: not row["_base"] and not row["_primary"],
        value="change",
        ends="change_",
        unit="share",
    ),
    "habit": Kind(
        title="Models that answer alike whatever they are asked",
        table="cells",
        sentence=sentences.habit,
        numbers=("mean", "base_share", "metric", "score", "constant_score"),
        when=lambda row: not row["_base"] and row["habit"] == "constant",
        value="change",
        unit="share",
        detail="{answer}",
        runs=True,
    ),
    "class_share": Kind(
        title="Predicted class shares",
        table="classes",
        sentence="{model} answers {detail!r} to {share:share} % of {task}, where the base does to {base_share:share} % "
        "and {gold_share:share} % are true: {size} points {span} ({test}).",
        numbers=("share", "base_share", "gold_share"),
        when=lambda row: bool(row["_told"]),
        value="share_change",
        ends="share_",
        unit="share",
        method="paired",
        detail="{class}",
        runs=True,
    ),
    "recall": Kind(
        title="Recall by class",
        table="classes",
        sentence="{model} finds {recall:share} % of the {n} true {detail!r} of {task} and says it of "
        "{false_alarm:share} % of the others, the base {base_recall:share} and {base_false_alarm:share} %: "
        "{size} points {span} ({test}).",
        numbers=("recall", "base_recall", "false_alarm", "base_false_alarm"),
        when=lambda row: bool(row["_told"] and row["_found"] and row["n_gold"] > 0),
        value="recall_change",
        ends="recall_",
        n="n_gold",
        unit="share",
        method="paired",
        detail="{class}",
        runs=True,
    ),
    "class_pull": Kind(
        title="Predicted class shares towards the source's labels",
        table="class_pull",
        sentence=sentences.class_pull,
        numbers=("truth_cosine",),
        when=lambda row: row["relation"] not in HOME and bool(np.isfinite(row["weight"])),
        value="weight",
        unit="weight",
        method="bootstrap",
        runs=True,
        scale="size",
    ),
    "class_pull_pooled": _pooled(
        kind="class_pull_pooled",
        title="Predicted class shares towards the source's labels, all cells",
        what="predicted class shares",
        habit="the sources' own label shares",
    ),
    "length_shift": Kind(
        title="Answer length",
        table="lengths",
        sentence="{model} answers {task} in {length:tokens} tokens, the base in {base_length:tokens}: {size} {span} "
        "({test}).",
        numbers=("length", "base_length"),
        value="shift",
        unit="tokens",
        runs=True,
    ),
    "length_weight": Kind(
        title="Length between the base's habit and the source's",
        table="lengths",
        sentence=sentences.length_weight,
        numbers=("base_length", "source_length", "base_cut", "cut"),
        when=lambda row: row["relation"] not in HOME and not row["undefined"],
        value="weight",
        ends="weight_",
        unit="weight",
        method="bootstrap",
        runs=True,
        scale="gap",
    ),
    "length_weight_pooled": _pooled(
        kind="length_weight_pooled",
        title="Length between the base's habit and the source's, all cells",
        what="answer lengths",
        habit="the sources' own lengths",
    ),
    "invalid": _rate("invalid", "Answers that cannot be parsed", "answers that cannot be parsed"),
    "cut_off": _rate("cut_off", "Answers cut off", "answers cut off by length"),
    "asymmetry": Kind(
        title="Asymmetry",
        table="asymmetry",
        sentence=sentences.asymmetry,
        numbers=(
            *("i", "i_to_j", "i_to_j_lo", "i_to_j_hi", "i_to_j_habit", "i_to_j_remark"),
            *("j", "j_to_i", "j_to_i_lo", "j_to_i_hi", "j_to_i_habit", "j_to_i_remark"),
        ),
        value="difference",
        detail="{i} -> {j} minus {j} -> {i}",
    ),
    "domain": Kind(
        title="Near against far domains",
        table="domain_tests",
        sentence=sentences.domain,
        numbers=("label", "name", "tail"),
        method="jackknife over datasets",
        detail="{label}: {name}{tail}",
    ),
    "control_own": Kind(
        title="Controls on their own task",
        table="controls",
        sentence="{source} on its own task {task}: {mean:{unit}} against {parent_value:{unit}} of the unaltered "
        "{parent}, {size} {points} {span} ({test}).",
        numbers=("mean", "parent_value", "parent"),
        when=lambda row: bool(row["own"]),
        value="difference",
        detail="{source}",
        runs=True,
    ),
    "control_transfer": Kind(
        title="Controls on the other tasks",
        table="controls_elsewhere",
        sentence="{source} against the unaltered {parent} on {n:#other task}: {size} {points} on average {span} "
        "({test}).",
        numbers=("parent",),
        method="bootstrap",
        detail="{unit}",
        runs=True,
    ),
    "tag": Kind(
        title="Success by tag",
        table="tags",
        sentence=sentences.tag,
        numbers=("tag", "name", "right", "base_right", "few"),
        value="ratio",
        unit="ratio",
        method="log ratio",
        detail="{tag}={name}",
        runs=True,
    ),
    "surprise": _surprises("surprise", "Surprises against an additive model"),
    "surprise_similarity": _surprises("surprise_similarity", "Surprises against an additive model with similarity"),
}
