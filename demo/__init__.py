"""
A small shop that breaks in instructive ways, for `make demo` and `phtrack demo`.

    shop      orders, stock, payments: ordinary code with ordinary bugs
    lessons   each breaks the shop in one way, and says what to look at on the page
    crash     a five-line program that dies
    tour      runs the lessons against the inbox and prints what arrived

Everything here uses phtrack as any application would. In the sources it lies in `demo/`; installed it is `phtrack.demo`.
"""
