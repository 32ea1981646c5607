"""What a study file may say: frozen classes that refuse unknown keys, with errors that name file, line and fix."""

from traitscope.config.code import CodeConfig
from traitscope.config.data import DataConfig, SplitPaths
from traitscope.config.lm_eval import LmEvalConfig
from traitscope.config.recipe import MixConfig, RecipeChange, RecipeConfig, SourceConfig
from traitscope.config.sections import BaseConfig, ComputeConfig, LayersConfig, ModelConfig
from traitscope.config.study import ResolvedSource, StudyConfig, load_config
from traitscope.config.task import AnswerConfig, GenerateConfig, MessageConfig, ShotsConfig, TaskConfig

__all__ = [
    "AnswerConfig",
    "BaseConfig",
    "CodeConfig",
    "ComputeConfig",
    "DataConfig",
    "GenerateConfig",
    "LayersConfig",
    "LmEvalConfig",
    "MessageConfig",
    "MixConfig",
    "ModelConfig",
    "RecipeChange",
    "RecipeConfig",
    "ResolvedSource",
    "ShotsConfig",
    "SourceConfig",
    "SplitPaths",
    "StudyConfig",
    "TaskConfig",
    "load_config",
]
