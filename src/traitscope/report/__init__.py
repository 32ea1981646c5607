"""The report: one HTML file that needs nothing else, with its figures and tables beside it as files."""

from traitscope.report.write import report_files, write_report

__all__ = ["report_files", "write_report"]
