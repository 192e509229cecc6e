"""A RunSpec -> ray.tune -> a run folder with its summary."""
