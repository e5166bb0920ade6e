"""`python -m edge_service.cli`, if the console script is not on the path."""

import sys

from edge_service.cli import main

if __name__ == "__main__":
    sys.exit(main())
