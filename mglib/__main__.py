"""`python -m mglib` is the `mglib` command."""

from mglib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
