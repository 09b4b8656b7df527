"""The template's own file and line are a frame."""

import pathlib

import jinja2

folder = pathlib.Path(__file__).with_name("pages")
environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder))


def page(user):
    return environment.get_template("hello.html").render(user=user)


page({"name": "Ann"})
