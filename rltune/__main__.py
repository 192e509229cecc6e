"""``python -m rltune`` and the installed script ``rltune``."""

from rltune.cli import main

if __name__ == "__main__":
    main()
