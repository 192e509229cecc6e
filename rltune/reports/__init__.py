"""Reports of runs: rows out of a run folder, then ink. No Ray, no torch."""
