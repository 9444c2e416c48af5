"""`python -m ftlab` is `ftlab`."""

import sys

from ftlab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
