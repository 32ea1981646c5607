"""The report: one HTML file that needs nothing else, with its figures and tables beside it as files."""

from traitscope.report.contents import Contents, study_contents
from traitscope.report.write import build_report, write_report

__all__ = ["Contents", "build_report", "study_contents", "write_report"]
