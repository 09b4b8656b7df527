def head(values):
    return values[:3] + [0]


head(12345)
