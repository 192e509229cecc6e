"""What is known of a sweep while it runs: one model, fed by its events or by its run folder.

Nothing here prints, and nothing imports Ray: the command line draws it in the process of the sweep
(:mod:`rltune.cli.live`) and beside it (``rltune watch``).
"""
