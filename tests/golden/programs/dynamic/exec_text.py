"""Text that was run has no source to show, and none is made up."""

code = "def double(x):\n    return x * factor\n\ndouble(2)\n"
exec(code, {"__name__": "rules"})
