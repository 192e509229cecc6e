"""Processes: a guard around a user's code, what ends with it, and what the machine grants."""
