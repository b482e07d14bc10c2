"""A review for people without Jupyter: one page, a pull request's body, or findings for code scanning.

from discover.report import as_html, as_markdown, as_sarif
"""

from discover.report.html import as_html
from discover.report.markdown import as_markdown
from discover.report.sarif import as_sarif

__all__ = ["as_html", "as_markdown", "as_sarif"]
