"""Hidden statistics of a dataset, from its text alone."""

from traitscope.stats.compute import dataset_stats, reference_table
from traitscope.stats.datasets import DatasetText
from traitscope.stats.dependencies import dependency_profile, dependency_tags, load_spacy
from traitscope.stats.labels import label_collisions, label_words
from traitscope.stats.measures import STATISTICS, Statistic, statistic
from traitscope.stats.result import DatasetStats
from traitscope.stats.similarity import Similarity, semantic_similarity, shared_examples, style_similarity

__all__ = [
    "DatasetStats",
    "DatasetText",
    "STATISTICS",
    "Similarity",
    "Statistic",
    "dataset_stats",
    "dependency_profile",
    "dependency_tags",
    "label_collisions",
    "label_words",
    "load_spacy",
    "reference_table",
    "semantic_similarity",
    "shared_examples",
    "statistic",
    "style_similarity",
]
