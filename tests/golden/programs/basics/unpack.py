def pair(text):
    key, value = text.split("=")
    return key, value


pair("a=b=c")
