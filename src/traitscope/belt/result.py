"""A belt as it was found, with its routers: written as JSON, rendered for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.belt.choice import Choice
from traitscope.belt.routing import Router
from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, plain, table_from_json, table_to_json
from traitscope.texts import Shown, count_of, table_text

FORMAT = 1

BASIS = {
    "rows": "chosen on one half of every task's rows, judged on the other",
    "seeds": "chosen on one half of the seeds, judged on the other",
    "itself": "judged on the scores it was chosen on",
}
_TABLES = ("sizes", "alternatives", "tasks")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BeltFindings(Shown, Tabular):
    """What a tool-belt consists of and what it is worth where it was judged. Scores and losses are in points.

    Attributes:
        choice: the belt and the tables beside it.
        merged: merged adapter -> its parts with their weights.
        routers: rule -> the router.
        rule: the rule that is exported; empty without a router.
        routed: routers beside base, best single adapter, mix, merged adapters, belt and oracle with the task known (see
            ``judge_routers``); None without a router.
        routed_tasks: the same scores task by task.
    """

    choice: Choice
    merged: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    routers: Mapping[str, Router] = field(default_factory=dict)
    rule: str = ""
    routed: pd.DataFrame | None = None
    routed_tasks: pd.DataFrame | None = None

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.choice.models), 'adapter')} for {count_of(len(self.choice.tasks), 'task')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """All of ``tables``."""
        return self.tables()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by its name."""
        found = {name: getattr(self.choice, name) for name in _TABLES}
        if self.routed is not None and self.routed_tasks is not None:
            found |= {"routed": self.routed, "routed_tasks": self.routed_tasks}
        return found

    def to_json(self) -> str:
        """All of it as one JSON text; numbers that are not finite become null."""
        choice = self.choice
        payload = {
            "models": list(choice.models),
            "serves": choice.serves,
            "loss": choice.loss,
            "basis": choice.basis,
            "notes": list(choice.notes),
            "merged": {name: dict(parts) for name, parts in self.merged.items()},
            "rule": self.rule,
            "routers": {name: _router_json(router) for name, router in self.routers.items()},
            "tables": {name: table_to_json(table) for name, table in self.tables().items()},
        }
        return dump_findings(payload, FORMAT) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BeltFindings:
        """What :meth:`to_json` wrote.

        Raises:
            ValueError: the text was written by another format version.
        """
        payload = load_findings(text, FORMAT, "belt")
        tables = {name: table_from_json(table) for name, table in payload["tables"].items()}
        choice = Choice(
            models=tuple(payload["models"]),
            serves=payload["serves"],
            loss=payload["loss"],
            basis=payload["basis"],
            notes=tuple(payload["notes"]),
            **{name: tables[name] for name in _TABLES},
        )
        return cls(
            choice=choice,
            merged=payload["merged"],
            routers={name: _router_from(router) for name, router in payload["routers"].items()},
            rule=payload["rule"],
            routed=tables.get("routed"),
            routed_tasks=tables.get("routed_tasks"),
        )

    def render(self) -> str:
        """Plain text for the terminal."""
        choice = self.choice
        worst = choice.sizes[choice.sizes["size"] == len(choice.models)].iloc[0]
        parts = [
            f"Belt: {count_of(len(choice.models), 'adapter')} for {count_of(len(choice.tasks), 'task')}, "
            f"{BASIS[choice.basis]}.",
            f"  {', '.join(choice.models) or 'the base alone'}",
            f"  the best model per task scores {_with_ends(worst['judged'], worst['lo'], worst['hi'])} points above it "
            f"on average ({worst['judged_worst']:.1f} on the worst task); allowed: {choice.loss:g} on every task",
            "",
            "Loss in points by number of adapters (chosen: where they were chosen; judged: where they were not):",
            _text(_sizes(choice.sizes)),
            "",
            "One model for all tasks instead (belt above: the belt's score less its score):",
            _text(_alternatives(choice.alternatives, choice.loss)),
            "",
            _text(_rounded(choice.tasks)),
        ]
        for name, weights in self.merged.items():
            shares = ", ".join(f"{weight:.2f} {part}" for part, weight in weights.items())
            parts += ["", f"{name} is merged from {shares}"]
        if self.routed is not None:
            parts += [
                "",
                "Without being told the task (score, and what a router scores above it):",
                self._routed_text(),
            ]
            router = self.routers[self.rule]
            ways = [f"{place} -> {model}" for place, model in zip(router.places, router.serves, strict=True)]
            parts += [f"Nearest to ({self.rule}): " + "; ".join(ways)]
        if choice.notes:
            parts += ["", *choice.notes]
        return "\n".join(parts)

    def _routed_text(self) -> str:
        assert self.routed is not None
        shown = pd.DataFrame({"": self.routed["what"], "score": [f"{v:.1f}" for v in self.routed["score"]]})
        for rule in self.routers:
            columns = (self.routed[f"{rule}_{end}"] for end in ("above", "lo", "hi"))
            shown[f"{rule} above"] = [_with_ends(*values) for values in zip(*columns, strict=True)]
        return _text(shown)


def _router_json(router: Router) -> dict[str, Any]:
    return {
        "rule": router.rule,
        "places": list(router.places),
        "serves": list(router.serves),
        "gain": [plain(value) for value in router.gain_P.tolist()],
        "far": router.far,
        "fallback": router.fallback,
        "arrays": {name: array.tolist() for name, array in router.arrays.items()},
    }


def _router_from(stored: Mapping[str, Any]) -> Router:
    return Router(
        stored["rule"],
        {name: np.array(values, dtype=float) for name, values in stored["arrays"].items()},
        tuple(stored["places"]),
        tuple(stored["serves"]),
        np.array([np.nan if value is None else value for value in stored["gain"]], dtype=float),
        float(stored["far"]),
        stored["fallback"],
    )


def _with_ends(value: float, lo: float, hi: float) -> str:
    return f"{value:.1f}" if not np.isfinite(lo) else f"{value:.1f} [{lo:.1f}, {hi:.1f}]"


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    judged = [_with_ends(*values) for values in zip(table["judged"], table["lo"], table["hi"], strict=True)]
    return pd.DataFrame(
        {
            "size": table["size"],
            "chosen": [f"{v:.2f}" for v in table["chosen"]],
            "worst": [f"{v:.1f}" for v in table["chosen_worst"]],
            "judged": judged,
            "worst ": [f"{v:.1f}" for v in table["judged_worst"]],
            "hindsight": [f"{v:.2f}" for v in table["hindsight"]],
            "adapters": table["models"],
        }
    )


def _alternatives(table: pd.DataFrame, loss: float) -> pd.DataFrame:
    above = [_with_ends(*values) for values in zip(table["belt_above"], table["lo"], table["hi"], strict=True)]
    verdict = [
        "is better" if hi < 0 else f"does as well on average, within {loss:g}" if enough else ""
        for hi, enough in zip(table["hi"], table["enough"], strict=True)
    ]
    worst = [f"{above:.1f} on {task}" for above, task in zip(table["worst_above"], table["worst"], strict=True)]
    names = [
        what if what.endswith(model) or what == "base" else f"{what} ({model})"
        for what, model in zip(table["what"], table["model"], strict=True)
    ]
    score = [f"{v:.1f}" for v in table["score"]]
    return pd.DataFrame({"": names, "score": score, "belt above": above, "at most": worst, " ": verdict})


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda v: f"{v:.1f}" if isinstance(v, float) else v)


def _text(table: pd.DataFrame) -> str:
    """A table indented, every column flush left."""
    rows = [list(map(str, table.columns)), *([str(v) for v in row] for row in table.itertuples(index=False))]
    return table_text(rows, right=(), indent="  ")
