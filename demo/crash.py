"""A program that dies. Python prints its traceback and exits with 1, as always; the inbox at argv[1] shows why."""

import sys

import phtrack

phtrack.init(
    "demo",
    host=sys.argv[1],
    enable_exception_autocapture=True,
    shutdown_timeout=10,  # the end may wait so many seconds for delivery; by default one, too few on a very busy machine
)

visitors, buyers = 120, 0
print(f"{visitors / buyers:.1f} visitors for each buyer")
