def walk(tree, depth=0):
    if not isinstance(tree, list):
        raise TypeError(f"no tree at depth {depth}: {tree!r}")
    return [walk(branch, depth + 1) for branch in tree]


walk([[[3]]])
