def start():
    import _no_python

    return _no_python


start()
