"""Look at a page as a person and as a browser would: its text, and whether anything in it could run."""

from __future__ import annotations

from html.parser import HTMLParser

_NOT_SHOWN = frozenset(("script", "style", "title"))
_VOID = frozenset(("meta", "link", "br", "img", "input", "hr"))


class Page(HTMLParser):
    """A parsed page. `text` has all that is visible, white space collapsed; `elements` every start tag."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self._marked: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"elements left open: {self._open}"
        self.text = " ".join("".join(self._texts).split())
        self.marked = "".join(self._marked)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag not in ("b", "i", "span", "mark", "code", "small"):
            self._texts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not _NOT_SHOWN.intersection(self._open):
            self._texts.append(data)
        if "mark" in self._open:
            self._marked.append(data)

    def assert_harmless(self) -> None:
        """Nothing but our own two files can run or load, whatever the event said."""
        for tag, attributes in self.elements:
            assert tag not in ("iframe", "object", "embed", "base", "form", "img", "style", "svg"), tag
            assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
            if tag == "script":
                assert attributes["src"] == "/static/inbox.js"
            for name in ("href", "src"):
                assert (attributes.get(name) or "/").startswith(("/", "#")), attributes

    def links(self, text_of: str = "") -> list[str]:
        """Addresses of all links that contain *text_of*."""
        return [
            str(attributes["href"])
            for tag, attributes in self.elements
            if tag == "a" and text_of in str(attributes["href"])
        ]
