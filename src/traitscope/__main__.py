"""``python -m traitscope``: the command line."""

from traitscope.cli import main

if __name__ == "__main__":
    main()
