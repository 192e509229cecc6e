"""The run folder: what a run writes and what reads it. Neither Ray nor torch is imported here."""
