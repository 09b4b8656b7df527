from dataclasses import dataclass, field


@dataclass
class Line:
    name: str
    count: int
    tags: list = field(default_factory=list)

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"{self.name}: {self.count} is no count")


@dataclass
class Order:
    lines: list

    def add(self, name, count):
        self.lines.append(Line(name, count))


Order([]).add("pen", 0)
