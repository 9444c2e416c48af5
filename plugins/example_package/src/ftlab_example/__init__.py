"""A method and a grader for ftlab, as an installable package; importing it registers both."""

from ftlab_example.grader import Contains
from ftlab_example.method import OutputScale

__all__ = ["Contains", "OutputScale"]
