def load(name):
    import no_such_module_anywhere

    return no_such_module_anywhere.load(name)


load("a")
