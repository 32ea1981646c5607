"""What is said in place of a finding that is not there: why, and which command gives it."""

from __future__ import annotations

from traitscope.findings import Findings

PARTS = {
    "traits": "The traits have not been computed",
    "effects": "The side effects have not been computed",
    "stats": "The dataset statistics have not been computed",
    "explanation": "Nothing was explained by dataset statistics",
    "layers": "The layers have not been analysed",
    "causal": "No causal check was made",
    "across": "One base model: nothing can be said across base models",
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
    "across": "bases in the study file adds more",
    "forecast": "traitscope predict does it",
    "evaluation": "traitscope predict --evaluate does it",
    "belt": "traitscope belt does it",
}
# What no command gives as long as there is nothing but the base.
OF_ADAPTERS = ("traits", "explanation", "forecast", "evaluation", "belt")


def absence(findings: Findings, part: str) -> str:
    """One plain line: what is not there, and why, or which command gives it where nothing is known to be in its way."""
    reason = findings.missing.get(part)
    if reason is None and part in OF_ADAPTERS and all(role.kind == "base" for role in findings.scores.roles_I):
        reason = "no adapter was measured"
    if reason:
        return f"{PARTS[part]}: {reason.rstrip('.')}."
    return f"{PARTS[part]} ({HOW[part]})."
