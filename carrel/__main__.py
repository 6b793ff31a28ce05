"""`python -m carrel`: the same as the command `carrel`."""

from carrel.cli import main

if __name__ == "__main__":
    main()
