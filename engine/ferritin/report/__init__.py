"""Quality checks and the page that shows them."""

from ferritin.report.page import write_report
from ferritin.report.verdicts import Verdict, judge

__all__ = ["Verdict", "judge", "write_report"]
