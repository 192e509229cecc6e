"""From what a user asks for to a checked RunSpec, every problem answered before anything starts."""
