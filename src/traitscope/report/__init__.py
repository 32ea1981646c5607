"""The report: one HTML file that needs nothing else, with its figures and tables beside it as files."""

from traitscope.report.write import write_report

__all__ = ["write_report"]
