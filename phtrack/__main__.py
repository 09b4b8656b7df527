"""`python -m phtrack` is the `phtrack` command."""

import sys

from phtrack.cli import main

sys.exit(main())
