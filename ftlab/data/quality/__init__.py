"""What is wrong with data before they are trained on: duplicates, leaks, faults, and steps that clean them."""

from ftlab.data.quality.steps import Conflicts, Duplicates, Lengths, Pattern, Whitespace

__all__ = ["Conflicts", "Duplicates", "Lengths", "Pattern", "Whitespace"]
