"""What a run would take: its first seconds for real, and what follows from them for the rest."""
