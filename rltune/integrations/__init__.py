"""Other libraries' training loops that report to rltune: one module each, and its extra."""
