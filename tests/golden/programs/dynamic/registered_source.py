"""Source that its author registered with `linecache` is shown."""

import linecache

text = "def triple(x):\n    return x * 3 + missing\n"
name = "<template rule>"
linecache.cache[name] = (len(text), None, text.splitlines(True), name)
space = {"__name__": "rule", "__builtins__": {}}
exec(compile(text, name, "exec"), space)
space["triple"](2)
