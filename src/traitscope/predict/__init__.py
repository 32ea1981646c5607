"""Forecasts of the cells of a score matrix that nobody measured, each beside baselines and with an interval."""
