"""Plots of a report, a file each; :mod:`rltune.reports.plots.table` lists them."""
