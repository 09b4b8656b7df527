"""The module that is imported fails; both frames are the application's."""


def start():
    import _broken_module

    return _broken_module


start()
