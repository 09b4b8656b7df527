import phtrack


def handle(request):
    with phtrack.new_context(capture_exceptions=False):
        phtrack.identify_context("u-7")
        phtrack.tag("tenant", "acme")
        try:
            return request["user"]
        except KeyError as error:
            phtrack.capture_exception(error, properties={"route": "/orders"})


handle({})
