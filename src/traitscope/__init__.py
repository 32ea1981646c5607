"""traitscope: which dataset helps which task, what else it changes, why, and in which layers."""

__version__ = "0.1.0"
