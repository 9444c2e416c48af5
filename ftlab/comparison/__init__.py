"""Comparison: several runs held against each other, from their folders alone. It knows no page and no terminal."""

from ftlab.comparison.closing import closing
from ftlab.comparison.compare import COSTS, Comparison, compare
from ftlab.comparison.entry import Entry, read_entries
from ftlab.comparison.finding import find_runs
from ftlab.comparison.groups import Group

__all__ = ["COSTS", "Comparison", "Entry", "Group", "closing", "compare", "find_runs", "read_entries"]
