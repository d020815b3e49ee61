"""What a constraint accepts, and which are refused."""

import pytest

from palate.contracts import Constraint
from palate.core.errors import ConfigError, UnsupportedError
from palate.generation.decoding.constraints import check_constraint, in_schema_order, satisfies

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("constraint", "right", "wrong"),
    [
        (Constraint(choices=["a1", 'say "hi"\n']), 'say "hi"\n', "a"),
        (Constraint(json_schema=PERSON), '{"name":"Ann","age":3}', '{"name":"Ann"}'),
        (Constraint(json_schema=PERSON), '{ "name": "Ünn",\n "age": 3 }', '{"name":"Ann","age":3.5}'),
        (Constraint(regex=r"\d{4}/\d\d"), "1999/12", "1999/1"),
        (Constraint(regex="a|b"), "b", "ab"),
        (Constraint(grammar='start: "x" num\nnum: /[0-9]+/'), "x12", "x"),
        (Constraint(must_include=["cat", "red dog"], must_exclude=["bad"]), "Cat and red dog", "cat, red dog, bad"),
        (Constraint(choices=["a cat", "a dog"], must_include=["dog"]), "a dog", "a cat"),
    ],
)
def test_a_text_keeps_a_constraint_or_not(constraint, right, wrong):
    check_constraint(constraint)
    assert satisfies(constraint, right) and not satisfies(constraint, wrong)


@pytest.mark.parametrize(
    ("constraint", "error"),
    [
        (Constraint(choices=["a"], regex="b"), ConfigError),
        (Constraint(must_include=["red"], must_exclude=["RED"]), ConfigError),
        (Constraint(must_include=["red dog"], must_exclude=["dog"]), ConfigError),
        (Constraint(must_exclude=[" "]), ConfigError),
        (Constraint(choices=["a cat"], must_exclude=["cat"]), ConfigError),
        (Constraint(json_schema=PERSON, must_include=["cat"]), UnsupportedError),
        (Constraint(regex="a+", must_exclude=["cat"]), UnsupportedError),
    ],
)
def test_what_no_text_can_keep_is_refused(constraint, error):
    with pytest.raises(error):
        check_constraint(constraint)


@pytest.mark.parametrize(
    "constraint", [Constraint(regex="["), Constraint(json_schema={"type": "objct"}), Constraint(grammar="start: x")]
)
def test_a_constraint_that_is_not_valid_is_named(constraint):
    with pytest.raises(ConfigError, match="not valid"):
        satisfies(constraint, "x")


def test_keys_are_put_in_the_order_of_the_schema():
    schema = {
        "properties": {"a": {"properties": {"x": {}, "y": {}}}, "b": {"items": {"properties": {"k": {}, "l": {}}}}}
    }
    value = {"b": [{"l": 1, "k": 2}], "z": 0, "a": {"y": 1, "x": 2}}
    assert str(in_schema_order(value, schema)) == "{'a': {'x': 2, 'y': 1}, 'b': [{'k': 2, 'l': 1}], 'z': 0}"
