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
    "traits": "traitscope traits",
    "effects": "traitscope effects",
    "stats": "traitscope stats",
    "explanation": "traitscope stats with traitscope traits",
    "layers": "traitscope layers",
    "causal": "traitscope layers",
    "across": "a study file with bases",
    "forecast": "traitscope predict",
    "evaluation": "traitscope predict --evaluate",
    "belt": "traitscope belt",
}


def absence(findings: Findings, part: str) -> str:
    """One plain line: what is not there, why where that is known, and which command gives it."""
    reason = findings.missing.get(part)
    if reason:
        return f"{PARTS[part]}: {reason.rstrip('.')}. In a study, {HOW[part]} gives it."
    return f"{PARTS[part]} ({HOW[part]} does it)."
