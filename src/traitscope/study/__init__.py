"""A study: a configuration file and the run folder it fills."""

from traitscope.study.bases import BasesStudy
from traitscope.study.planning import Cost, StudyPlan
from traitscope.study.progress import Reporter, Silent, Stopped
from traitscope.study.shipped import Belt, Routed
from traitscope.study.study import Study

__all__ = ["BasesStudy", "Belt", "Cost", "Reporter", "Routed", "Silent", "Stopped", "Study", "StudyPlan"]
