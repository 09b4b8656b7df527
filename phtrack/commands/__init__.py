"""
The commands of `phtrack`, one module each. `phtrack.cli` finds them here by name and imports only the one that is asked for.

A command module has `SUMMARY` (one line for `phtrack --help`), `add_arguments(parser)` and `run(args)`, which answers with
the exit code. Its docstring is what `phtrack NAME --help` shows.
"""
