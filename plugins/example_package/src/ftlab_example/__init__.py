"""A method, a grader and a data format for ftlab, as an installable package; importing it registers them."""

from ftlab_example.format import Transcript
from ftlab_example.grader import Mentions
from ftlab_example.method import OutputScale

__all__ = ["Mentions", "OutputScale", "Transcript"]
