"""What is said in place of a finding that is not there: why, and which command gives it."""

from __future__ import annotations

from traitscope.belt.split import whole
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.report.claims import base_rows

PARTS = {
    "traits": "The traits have not been computed",
    "effects": "The side effects have not been computed",
    "stats": "The dataset statistics have not been computed",
    "explanation": "Nothing was explained by dataset statistics",
    "layers": "The layers have not been analysed",
    "causal": "No causal check was made",
    "across": "Nothing can be said across base models",
    "forecast": "No cell was forecast",
    "evaluation": "How well forecasts do was not judged",
    "belt": "No belt of adapters was chosen",
}
HOW = {
    "traits": "traitscope traits does it",
    "effects": "traitscope effects does it",
    "stats": "traitscope stats does it",
    "explanation": "traitscope stats and traitscope traits do it",
    "layers": "traitscope layers does it",
    "causal": "traitscope layers does it",
    "across": "traitscope effects does it",
    "forecast": "traitscope predict does it",
    "evaluation": "traitscope predict --evaluate does it",
    "belt": "traitscope belt does it",
}
# What no command gives as long as there is nothing but the base.
OF_ADAPTERS = ("traits", "explanation", "forecast", "evaluation", "belt")


def absence(findings: Findings, part: str) -> str:
    """One plain line: what is not there, and why, or which command gives it where nothing is known to be in its way."""
    reason = findings.missing.get(part) or _in_the_way(findings, part)
    if reason:
        return f"{PARTS[part]}: {reason.rstrip('.')}."
    return f"{PARTS[part]} ({HOW[part]})."


def _in_the_way(findings: Findings, part: str) -> str:
    """Why no command gives a part of this matrix; empty where one does."""
    scores = findings.scores
    kinds, bases = {role.kind for role in scores.roles_I}, len(base_rows(scores))
    if part in OF_ADAPTERS and kinds == {"base"}:
        return "no adapter was measured"
    if part in ("forecast", "evaluation") and "source" not in kinds:
        return "no row is a source"
    if part in ("forecast", "evaluation") and findings.bare and scores.rows["base"].nunique() > 1:
        return "it is of one base model, which traitscope predict --of names"
    if part == "across" and bases < 2:
        more = "" if findings.bare else "; bases in the study file adds more"
        return f"there is {'one base model' if bases else 'no base row'}{more if bases else ''}"
    if part == "across" and findings.bare:
        return f"the findings of a matrix file are of its {bases} base models together"
    if part == "belt":
        try:
            whole(scores)
        except TraitscopeError as error:
            return error.what
    return ""
