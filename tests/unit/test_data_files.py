"""Files of data that cannot be read: said with their name, and never a traceback."""

from __future__ import annotations

import re

import pytest
from seatrial_runner.data import DataError
from seatrial_runner.data.files import read_text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: is empty: its first line names the columns"),
        ("a.csv", "x,x\n1,2", "a.csv: its first line names a column twice"),
        ("a.csv", "x\n" + "y" * 200_000, "a.csv: line 2: field larger than field limit"),
        ("a.csv", "x,y\n1", "a.csv: row 2 has 1 values, and there are 2 columns"),
        ("a.json", "[1]", "a.json: give lists of rows by table"),
        ("a.json", "{", "a.json: is no JSON: "),
        ("a.yaml", "t: [{a: 1, 2: x}]", "a.yaml.t.2: is no name of a column"),
        ("a.yaml", "t:\n- {a: 2020-13-45}", "a.yaml: is no YAML: month must be in 1..12"),
        ("a.yaml", "generate: {t: {fields: {a: nam}}}", "a.yaml: generate.t.fields.a.provider: "),
        ("a.txt", "x", "a.txt: must be one of: .yaml, .yml, .json, .csv, .sql"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name, text, message):
    with pytest.raises(DataError, match=re.escape(message)):
        list(read_text(name, text, "s").tables)
