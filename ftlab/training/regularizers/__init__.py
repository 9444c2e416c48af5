"""Regularizers: penalties against forgetting, one file each; importing this package registers the built-in ones."""

from ftlab.training.regularizers.base import Regularizer
from ftlab.training.regularizers.ewc import EWC
from ftlab.training.regularizers.kl_to_base import KLToBase
from ftlab.training.regularizers.l2_to_base import L2ToBase

__all__ = ["EWC", "KLToBase", "L2ToBase", "Regularizer"]
