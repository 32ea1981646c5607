"""A study: a configuration file and the run folder it fills."""

from traitscope.study.planning import Cost, StudyPlan
from traitscope.study.progress import Reporter, Silent, Stopped
from traitscope.study.study import Findings, Study

__all__ = ["Cost", "Findings", "Reporter", "Silent", "Stopped", "Study", "StudyPlan"]
