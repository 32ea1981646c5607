"""The live page: the report of a run folder, served to this machine alone while the run goes on."""

from traitscope.view.serving import serve

__all__ = ["serve"]
