"""traitscope: which dataset helps which task, what else it changes, why, and in which layers.

Names are imported on first use: ``import traitscope`` loads neither torch nor a plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from traitscope._version import __version__ as __version__

if TYPE_CHECKING:
    from traitscope.belt import BeltFindings as BeltFindings
    from traitscope.belt import choose_belt as choose_belt
    from traitscope.config import StudyConfig as StudyConfig
    from traitscope.config import load_config as load_config
    from traitscope.effects import Effects as Effects
    from traitscope.effects import Explanation as Explanation
    from traitscope.effects import explain as explain
    from traitscope.effects import measure_effects as measure_effects
    from traitscope.engine import Adapter as Adapter
    from traitscope.engine import Bank as Bank
    from traitscope.engine import LoraSpec as LoraSpec
    from traitscope.engine import load_base as load_base
    from traitscope.errors import TraitscopeError as TraitscopeError
    from traitscope.layers import LayersResult as LayersResult
    from traitscope.layers import Sections as Sections
    from traitscope.layers import analyse_layers as analyse_layers
    from traitscope.layers import find_sections as find_sections
    from traitscope.matrix import ScoreMatrix as ScoreMatrix
    from traitscope.matrix import read_matrix as read_matrix
    from traitscope.plugins import load_plugins as load_plugins
    from traitscope.predict.evaluate import evaluate_predictors as evaluate_predictors
    from traitscope.predict.evaluation import Evaluation as Evaluation
    from traitscope.predict.forecast import Forecast as Forecast
    from traitscope.predict.forecast import fit_predictor as fit_predictor
    from traitscope.stats import DatasetStats as DatasetStats
    from traitscope.stats import dataset_stats as dataset_stats
    from traitscope.study import Belt as Belt
    from traitscope.study import Study as Study
    from traitscope.study.comparing import compare as compare
    from traitscope.tasks import Task as Task
    from traitscope.traits import Traits as Traits
    from traitscope.traits import fit_traits as fit_traits

_HOMES = {
    "Adapter": "engine",
    "Bank": "engine",
    "Belt": "study",
    "BeltFindings": "belt",
    "DatasetStats": "stats",
    "Effects": "effects",
    "Evaluation": "predict.evaluation",
    "Explanation": "effects",
    "Forecast": "predict.forecast",
    "LayersResult": "layers",
    "LoraSpec": "engine",
    "ScoreMatrix": "matrix",
    "Sections": "layers",
    "Study": "study",
    "StudyConfig": "config",
    "Task": "tasks",
    "Traits": "traits",
    "TraitscopeError": "errors",
    "analyse_layers": "layers",
    "choose_belt": "belt",
    "compare": "study.comparing",
    "dataset_stats": "stats",
    "evaluate_predictors": "predict.evaluate",
    "explain": "effects",
    "find_sections": "layers",
    "fit_predictor": "predict.forecast",
    "fit_traits": "traits",
    "load_base": "engine",
    "load_config": "config",
    "load_plugins": "plugins",
    "measure_effects": "effects",
    "read_matrix": "matrix",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"traitscope.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'traitscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
