"""The tool-belt: which few adapters to ship, what they are worth, and which of them a prompt goes to."""

from traitscope.belt.answers import SplitScores, TaskAnswers
from traitscope.belt.choice import Choice, choose, choose_belt
from traitscope.belt.result import BeltFindings
from traitscope.belt.routed import Readings, choices, judge_routers, route_belt
from traitscope.belt.routing import ROUTERS, Router, Rule, fit_router

__all__ = [
    "ROUTERS",
    "BeltFindings",
    "Choice",
    "SplitScores",
    "Readings",
    "Router",
    "Rule",
    "TaskAnswers",
    "choices",
    "choose",
    "choose_belt",
    "fit_router",
    "judge_routers",
    "route_belt",
]
