"""The command line: ``rltune ALGO ENV [options]`` and a handful of commands.

This package alone prints and sets exit codes. ``app`` declares every command and imports nothing
heavy; each command's work is in a module of its own name, imported when it runs.
"""

from rltune.cli.app import main

__all__ = ["main"]
