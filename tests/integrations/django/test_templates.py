"""Errors in Django's templates: the event shows the template's own lines, down to the tag that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.shortcuts import render
from django.template.base import Template
from django.template.context import Context
from django.template.engine import Engine
from django.urls import path

from ..behaviours import Watched, fetch, serve_wsgi
from .project import MIDDLEWARE, OURS, ProjectApp

BASE = "<html>\n<body>\n{% block content %}{% endblock %}\n</body>\n"
CART = """{% extends "shop/base.html" %}
{% block content %}
<ul>
  {% for item in items %}
    {% include "shop/item.html" with one=item %}
  {% endfor %}
</ul>
{% endblock %}
"""
ITEM = "<li>\n  {% if one %}{{ one.price|floatformat:2 }}{% endif %}\n</li>\n"


class Item:
    def price(self) -> float:
        raise ZeroDivisionError("no price")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of templates."""
    folder = tmp_path / "pages"
    (folder / "shop").mkdir(parents=True)
    for name, text in {"base": BASE, "cart": CART, "item": ITEM, "broken": "<p>\n\n{% for x in %}\n"}.items():
        (folder / "shop" / f"{name}.html").write_text(text)
    (folder / "shop" / "unclosed.html").write_text("<p>\n{% if x %}\n<b>\n")
    return folder


def frames(watched: Watched) -> list[dict[str, Any]]:
    """The frames of the only exception."""
    return list(watched.the_exception()["properties"]["$exception_list"][0]["stacktrace"]["frames"])


def of_templates(found: list[dict[str, Any]]) -> list[tuple[str, int, str, str]]:
    """(file, line, function, source line) of the frames that are a template's."""
    return [
        (one["filename"], one["lineno"], one["function"], one.get("context_line", "").strip())
        for one in found
        if one["function"].startswith("{")
    ]


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_in_a_template(shop: Path, debug: bool) -> None:
    """Each tag on the way is a frame with the template's file, line and text, and is the application's; values stay out."""
    watched = Watched(project_root=str(shop.parent))
    templates = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(shop)],
            "OPTIONS": {"debug": debug},
        }
    ]
    changes = {"TEMPLATES": templates, "MIDDLEWARE": [*MIDDLEWARE, OURS], "POSTHOG_MW_CLIENT": watched.client}
    routes = [path("cart", lambda request: render(request, "shop/cart.html", {"items": [Item()]}))]
    with ProjectApp(routes, WSGIHandler, **changes).made() as handler, serve_wsgi(handler) as base:
        assert fetch(base, "/cart").status == 500
    found = frames(watched)
    assert of_templates(found) == [
        ("shop/cart.html", 1, '{% extends "shop/base.html" %}', '{% extends "shop/base.html" %}'),
        ("shop/base.html", 3, "{% block content %}", "{% block content %}{% endblock %}"),
        ("shop/cart.html", 4, "{% for %}", "{% for item in items %}"),
        ("shop/cart.html", 5, '{% include "shop/item.html" %}', '{% include "shop/item.html" with one=item %}'),
        ("shop/item.html", 2, "{% if %}", "{% if one %}{{ one.price|floatformat:2 }}{% endif %}"),
        ("shop/item.html", 2, "{{ one.price|floatformat:2 }}", "{% if one %}{{ one.price|floatformat:2 }}{% endif %}"),
    ]
    for one in found:
        if one["function"].startswith("{"):
            assert one["in_app"] is True
            assert one["abs_path"] == str(shop / one["filename"])
            assert "code_variables" not in one
            assert "module" not in one
    watched.client.shutdown()


@pytest.mark.parametrize(
    ("name", "line", "function"),
    [("broken", 3, "{% for %}"), ("unclosed", 2, "{% if %}")],
)
def test_a_template_that_can_not_be_read(watched: Watched, shop: Path, name: str, line: int, function: str) -> None:
    """A syntax error is shown at its tag, without Django's debug mode."""
    engine = Engine(dirs=[str(shop)])
    try:
        engine.get_template(f"shop/{name}.html")
    except Exception as error:
        watched.client.capture_exception(error)
    last = of_templates(frames(watched))[-1]
    assert last[:3] == (f"shop/{name}.html", line, function)


def test_a_template_made_of_a_string(watched: Watched) -> None:
    """It has no file, and its text is gone by then; the tag and its line are known."""
    template = Template("first\n  {{ item.price }}\n", engine=Engine())
    try:
        template.render(Context({"item": Item()}))
    except ZeroDivisionError as error:
        watched.client.capture_exception(error)
    (only,) = of_templates(frames(watched))
    assert only == ("<template>", 2, "{{ item.price }}", "")
