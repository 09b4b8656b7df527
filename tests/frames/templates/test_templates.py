"""Frames of real Jinja2 and Mako templates are the template's own: its file, its line, its source, no Python statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import pytest
from mako.lookup import TemplateLookup
from mako.template import Template as MakoTemplate

from phtrack.frames import location, source
from phtrack.frames.in_app import InApp
from phtrack.frames.statement import statement_of
from phtrack.frames.templates import template_of
from tests.frames.sites_here import failing

if TYPE_CHECKING:
    from pathlib import Path

JINJA = """<h1>{{ title }}</h1>
{% macro price(order) %}
  <b>
    {{ order.total.nope.more }}
  </b>
{% endmacro %}
{% block body %}
{% for order in orders %}
  {{ price(order) }}
{% endfor %}
{% endblock %}
"""
MAKO = """<h1>${title}</h1>
<%def name="price(order)">
  <b>
    ${order.nope}
  </b>
</%def>
% for order in orders:
  ${price(order)}
% endfor
"""


class Order:
    total = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    (folder / "mail").mkdir(parents=True)
    (folder / "mail/order.html").write_text(JINJA)
    (folder / "mail/order.mako").write_text(MAKO)
    return folder


def template_frames(sites: list[Any]) -> list[tuple[str, str | None, int | None, str | None]]:
    """(filename, abs_path, line, source line) of the frames that are a template's."""
    found = []
    for site in sites:
        if site.template is not None:
            window = source.window(site)
            found.append(
                (location.filename_of(site), location.abs_path_of(site), site.lineno, window[1] if window else None)
            )
            assert statement_of(site) is None
            assert site.module is None
    return found


def environment(loader: Any) -> jinja2.Environment:
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)


def test_a_rendered_jinja_template(folder: Path) -> None:
    """Jinja2 rewrites the traceback; each level of it is a line of the template."""
    template = environment(jinja2.FileSystemLoader(folder)).get_template("mail/order.html")
    sites = failing(lambda: template.render(title="x", orders=[Order()]))
    path = str(folder / "mail/order.html")
    assert template_frames(sites) == [
        ("mail/order.html", path, 7, "{% block body %}"),
        ("mail/order.html", path, 9, "  {{ price(order) }}"),
        ("mail/order.html", path, 4, "    {{ order.total.nope.more }}"),
    ]
    assert all(InApp(project_root=folder.parent)(site) for site in sites if site.template is not None)


def test_a_jinja_macro_called_from_python(folder: Path) -> None:
    """Nobody rewrites this traceback: lines of the compiled module are mapped back."""
    template = environment(jinja2.FileSystemLoader(folder)).get_template("mail/order.html")
    module = template.make_module({"title": "x", "orders": []})
    sites = failing(module.price, Order())
    assert template_frames(sites) == [
        ("mail/order.html", str(folder / "mail/order.html"), 4, "    {{ order.total.nope.more }}")
    ]


def test_a_jinja_template_that_is_in_no_file() -> None:
    """Its line is known and its source is not: honest absence."""
    template = environment(jinja2.DictLoader({"a.html": "x\n{{ 1 / zero }}"})).get_template("a.html")
    assert template_frames(failing(lambda: template.render(zero=0))) == [("<template>", None, 2, None)]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_mako_template(folder: Path, tmp_path: Path, on_disk: bool) -> None:
    """Its modules live in memory or in a directory of modules; the frames are the template's either way."""
    lookup = TemplateLookup([str(folder)], module_directory=str(tmp_path / "modules") if on_disk else None)
    sites = failing(lambda: lookup.get_template("/mail/order.mako").render(title="x", orders=[Order()]))
    path = str(folder / "mail/order.mako")
    found = template_frames(sites)
    assert found[0] == ("mail/order.mako", path, 8, "  ${price(order)}")
    assert found[-1] == ("mail/order.mako", path, 4, "    ${order.nope}")


def test_a_mako_template_from_a_string() -> None:
    """Mako keeps its text, so it can be shown; its made-up name differs from run to run and is not."""
    sites = failing(lambda: MakoTemplate("one\ntwo ${1 / zero}\n").render(zero=0))
    assert template_frames(sites) == [("<template>", None, 2, "two ${1 / zero}")]


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"debug_info": "1=2", "__name__": "x"},
        {"__jinja_template__": None, "debug_info": 7},
        {"__jinja_template__": None, "debug_info": "a=b&&=&3"},
        {"_template_uri": "x", "_magic_number": 10},
        {"_template_uri": "x", "_magic_number": 10, "__name__": []},
        {"_template_uri": "x", "_magic_number": 10, "__name__": "json"},
    ],
)
def test_globals_that_only_look_like_a_templates(names: dict[str, Any]) -> None:
    """Nothing raises, and no line is made up."""
    found = template_of(names, compile("1", "x.py", "exec"), 5)
    assert found is None or found.lineno is None
