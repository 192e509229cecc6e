"""A fair race of methods: each gets the same environment steps, several times, and is scored."""
