"""The report: one HTML file that needs nothing else, with its figures and tables beside it as files."""

from traitscope.report.formats import FORMATS, check_formats
from traitscope.report.write import report_files, write_report

__all__ = ["FORMATS", "check_formats", "report_files", "write_report"]
