def check(rule):
    return compile(rule, "<rule>", "eval")


check("price > ")
