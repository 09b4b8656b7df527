def depth(node):
    return 1 + depth(node["parent"])


node = {"id": 7}
node["parent"] = node
depth(node)
