from circular import other

value = other
