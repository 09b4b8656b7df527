"""Lines of a frame: numbers, the raised one, and the exact range of the expression."""

from __future__ import annotations

from phtrack.inbox.literal import MASKED
from phtrack.inbox.source import MAX_LINE, Line, lines_of
from tests.inbox import events as make

BLOCK = "    def pay(self):\n>        city = order.customer.address.city\n        return city\n\n"


def test_the_raised_line_keeps_its_number_and_loses_the_common_indentation() -> None:
    """Numbers are those of the file, and the block stands as far left as it can; empty lines at the end are cut."""
    assert [(line.number, line.before, line.raised) for line in lines_of(make.frame(lineno=88, source=BLOCK))] == [
        (87, "def pay(self):", False),
        (88, "    city = order.customer.address.city", True),
        (89, "    return city", False),
    ]


def test_the_expression_is_marked() -> None:
    """Columns of the file find the expression in the dedented line."""
    lines = lines_of(make.frame(source=BLOCK, phtrack={"position": [88, 15, 88, 37]}))
    assert lines[1] == Line(88, "    city = ", "order.customer.address", ".city", True)
    assert not lines[0].marked and not lines[2].marked


def test_an_expression_over_several_lines_is_marked_in_each() -> None:
    """The first line from its column, the last up to its own, those between without their indentation."""
    source = "    x = f(\n>        a,\n        b + 1,\n    )"
    lines = lines_of(make.frame(lineno=5, source=source, phtrack={"position": [4, 8, 7, 5]}))
    assert [line.marked for line in lines] == ["f(", "a,", "b + 1,", ")"]


def test_columns_count_characters() -> None:
    """Text beyond ASCII before the expression doesn't shift the mark."""
    lines = lines_of(make.frame(source='>größe("äöü", tür.x)', phtrack={"position": [88, 13, 88, 18]}))
    assert lines[0].marked == "tür.x"


def test_a_masked_secret_does_not_shift_the_mark() -> None:
    """Masking changes the columns after it: the expression is found by its text, or not marked, never marked wrongly."""
    source = f'>log_in("phil", password="{MASKED}")  # {MASKED}'
    call = f'log_in("phil", password="{MASKED}")'

    def marked(position: list[int], expression: str, text: str = source) -> list[str]:
        extras = {"position": position, "expression": expression}
        return [line.marked for line in lines_of(make.frame(source=text, phtrack=extras))]

    assert marked([88, 0, 88, 34], call) == [call]
    assert marked([88, 0, 88, 34], "something else") == [""]
    assert marked([88, 7, 88, 13], '"phil"') == ['"phil"']
    two_lines = f'>f("{MASKED}",\n  a, b)'
    assert marked([88, 0, 89, 7], "", two_lines) == [f'f("{MASKED}",', "a, b)"]
    assert marked([87, 0, 88, 9], "", f'x = (\n>"{MASKED}", 1)') == ["x = (", ""]


def test_a_position_that_makes_no_sense_marks_nothing() -> None:
    """Reversed, beyond the line, of the wrong type or length: the source is shown all the same."""
    for position in ([88, 9, 88, 2], [88, 5, 88, 900], ["88", 0, 88, 2], [88, 1], {"a": 1}, [88, 0, 88, 0], None):
        (line,) = lines_of(make.frame(source="charge(order)", phtrack={"position": position}))
        assert (line.before + line.marked + line.after, line.marked) == ("charge(order)", "")


def test_a_very_long_line_is_cut_around_what_matters() -> None:
    """40 KB of data before and after the expression don't hide it, and the cut says how much is missing."""
    text = "x = '" + "y" * 20_000 + "' + name + '" + "z" * 20_000 + "'"
    start = text.index("name")
    (line,) = lines_of(make.frame(source=text, phtrack={"position": [88, start, 88, start + 4]}))
    assert line.marked == "name"
    assert len(line.before + line.marked + line.after) < MAX_LINE + 60
    assert line.after.endswith("more characters")


def test_without_context_the_statement_is_shown() -> None:
    """A sender that knows only the statement still shows it, numbered and with the raised line."""
    extras = {"statement": "f(\n    a,\n)", "statement_lineno": 87}
    lines = lines_of({"lineno": 88, "function": "f", "phtrack": extras})
    assert [(line.number, line.before, line.raised) for line in lines] == [
        (87, "f(", False),
        (88, "    a,", True),
        (89, ")", False),
    ]


def test_without_source_there_are_no_lines() -> None:
    """Honest absence."""
    assert lines_of({"lineno": 88, "function": "f"}) == []
    assert lines_of({"context_line": 5, "pre_context": "x", "phtrack": []}) == []
