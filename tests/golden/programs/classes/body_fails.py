limits = {"small": 1}


class Box:
    small = limits["small"]
    large = limits["large"]
