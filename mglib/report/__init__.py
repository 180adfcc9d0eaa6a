"""Notebooks and the paper: checked parameters, outputs, execution, rendering."""

from mglib.report.execution import stop_if_sharded
from mglib.report.output import Output
from mglib.report.parameters import Parameters, guard

__all__ = ["Output", "Parameters", "guard", "stop_if_sharded"]
