"""``python -m lowbeam.cli``."""

from lowbeam.cli import main

if __name__ == "__main__":
    main()
