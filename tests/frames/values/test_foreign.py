"""Arrays and tables of packages that the application has imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy
import pandas
import polars
import pytest

from tests.frames.values.taking import contract, entry

ARRAY = numpy.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ARRAY, {"shape": "(3, 4)", "dtype": "float64", "head": [0, 1, 2, 3, 4, 5, 6, 7]}),
        (ARRAY.T, {"shape": "(4, 3)", "dtype": "float64", "head": [0, 4, 8, 1, 5, 9, 2, 6]}),
        (numpy.array(5), {"shape": "()", "dtype": "int64", "head": [5]}),
        (numpy.array([]), {"shape": "(0,)", "dtype": "float64", "head": []}),
        (numpy.array([{"a": 1}], dtype=object), {"shape": "(1,)", "dtype": "object", "head": [{"a": 1}]}),
        (pandas.Series([1, 2], name="n"), {"shape": "(2,)", "dtype": "int64", "head": [1, 2]}),
        (pandas.Index(["a", "b"]), None),
        (polars.Series("n", [1, None]), {"shape": "(2,)", "dtype": "Int64", "head": [1, None]}),
    ],
    ids=["array", "transposed", "scalar", "empty", "objects", "series", "index", "polars"],
)
def test_arrays_are_shown_by_shape_dtype_and_head(value: Any, shown: Any) -> None:
    """What one would print first."""
    found = entry(value)["value"]
    if shown is None:
        assert found["head"] == ["a", "b"]
    else:
        assert found == shown


def test_numpy_scalars_are_numbers() -> None:
    """With their type beside them; in the contract's form plain numbers."""
    assert entry(numpy.float64(1.5)) == {"name": "value", "value": 1.5, "type": "numpy.float64"}
    assert entry(numpy.int32(7))["value"] == 7
    assert contract(numpy.int64(7)) == 7
    assert entry(numpy.float32("nan"))["value"] == "nan"
    assert entry(numpy.bool_(True))["value"] == "True"
    assert entry(numpy.datetime64("2026-03-01"))["value"] == "2026-03-01"


@pytest.mark.parametrize("module", [pandas, polars])
def test_tables_are_shown_by_shape_columns_and_head(module: Any) -> None:
    """Three rows by column; a column named like a secret is hidden."""
    table = module.DataFrame({"id": list(range(100)), "password": ["hunter2"] * 100})
    found = entry(table)
    assert found["value"]["shape"] == "(100, 2)"
    assert found["value"]["dtypes"]["id"].lower() == "int64"
    assert found["value"]["head"]["id"] == [0, 1, 2]
    assert "hunter2" not in str(found)
    assert found["redacted"] == "name:password"


def test_a_lazy_frame_is_not_computed() -> None:
    """It is shown by its class; computing it could read files."""
    assert entry(polars.LazyFrame({"a": [1]}))["type"] == "polars.lazyframe.frame.LazyFrame"


def test_subclasses_of_arrays_are_not_asked() -> None:
    """A subclass may have overridden anything."""

    class Odd(numpy.ndarray):  # type: ignore[type-arg]
        @property
        def shape(self) -> Any:  # type: ignore[override]
            raise AssertionError("asked")

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("asked")

    assert entry(ARRAY.view(Odd))["type"].endswith("Odd")


def test_elements_of_somebodys_class_are_not_run() -> None:
    """An object array's head consists of objects like any other."""

    class Element:
        def __repr__(self) -> str:
            raise AssertionError("asked")

    found = entry(numpy.array([Element(), None], dtype=object))["value"]["head"]
    assert found[0]["__class__"].endswith("Element")


def test_tensors_are_shown_by_shape_and_head() -> None:
    """Also the parameters of a layer; what lies on a device or isn't dense is not read, and nobody's graph grows."""
    torch = pytest.importorskip("torch", reason="needs PyTorch, some 200 MB")
    layer = torch.nn.Linear(2, 1)
    found = entry(layer.weight)["value"]
    assert (found["shape"], found["dtype"], found["device"]) == ("(1, 2)", "torch.float32", "cpu")
    assert found["head"] == layer.weight.tolist()[0]
    assert entry(layer)["value"]["_parameters"]["bias"]["shape"] == "(1,)"
    tracked = torch.arange(12.0).reshape(3, 4).requires_grad_()
    assert entry(tracked)["value"]["head"] == list(range(8))
    assert tracked.grad_fn is None
    for unread in (torch.zeros(2, device="meta"), torch.eye(3).to_sparse()):
        assert "head" not in entry(unread)["value"]


def test_a_resolver_is_shown_with_its_variables_but_not_with_the_query() -> None:
    """Literals in a query have no name that could be masked; variables have. The schema leaves the budget to what matters."""
    graphql = pytest.importorskip("graphql", reason="needs graphql-core")
    seen: list[Any] = []

    def login(root: Any, info: Any, **arguments: str) -> str:
        seen.extend((info, info.field_nodes, info.field_nodes[0].arguments[0].value))
        return "done"

    arguments = {name: graphql.GraphQLArgument(graphql.GraphQLString) for name in ("password", "shop")}
    field = graphql.GraphQLField(graphql.GraphQLString, args=arguments, resolve=login)
    schema = graphql.GraphQLSchema(graphql.GraphQLObjectType("Query", {"login": field}))
    query = 'query Login($shop: String = "berlin") { login(password: "hunter2", shop: $shop) }'
    assert graphql.graphql_sync(schema, query).errors is None
    info, nodes, literal = (entry(one)["value"] for one in seen)
    assert (info["field_name"], info["variable_values"]) == ("login", {"shop": "berlin"})
    assert info["schema"] == "<graphql.type.schema.GraphQLSchema>"
    assert nodes == ["<graphql.language.ast.FieldNode>"]
    assert literal == "<graphql.language.ast.StringValueNode>"


def test_no_package_is_imported_to_look() -> None:
    """Formatting in a process that has none of them leaves it so."""
    code = (
        "import sys\n"
        "from tests.frames.values.taking import entry\n"
        "class Model: pass\n"
        "assert entry(Model())['value'] == {}\n"
        "print([name for name in ('numpy', 'pandas', 'polars', 'torch', 'pydantic', 'attrs', 'enum_') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_query_set_is_not_run() -> None:
    """Django's query sets are shown by model and the rows they have loaded, never by a query."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(DATABASES={}, INSTALLED_APPS=[])
        django.setup()
    from django.db import models

    class Product(models.Model):
        name = models.TextField()

        class Meta:
            app_label = "shop"

    products = Product.objects.filter(name="a")
    found = entry(products)["value"]
    assert found["rows"] == "not loaded"
    assert found["model"].endswith("Product>")
    products._result_cache = [Product(id=1, name="a")]
    assert entry(products)["value"]["rows"][0]["name"] == "a"
    assert "_state" not in entry(products)["value"]["rows"][0]
