def share(total, people):
    each = total / people
    return round(each, 2)


share(10, len([]))
