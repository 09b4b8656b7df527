def read(data):
    return data.decode("ascii")


read("naïve".encode())
