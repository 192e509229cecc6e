"""A sweep while it runs: one model of it, fed by its events or by its run folder, and its text.

Nothing here prints, and nothing imports Ray: the command line draws the text in the process of the
sweep (:mod:`rltune.cli.live`) and beside it (``rltune watch``).
"""
