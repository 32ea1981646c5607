"""A study: a configuration file and the run folder it fills."""

from traitscope.study.planning import Cost, StudyPlan
from traitscope.study.progress import Reporter, Silent, Stopped
from traitscope.study.study import Study

__all__ = ["Cost", "Reporter", "Silent", "Stopped", "Study", "StudyPlan"]
