"""What the documentation shows is true: its YAML is accepted, its links lead somewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from seatrial.api.families import KINDS
from seatrial.api.names import KIND
from seatrial.api.reasons import Reason
from seatrial.api.run import parse_run, parse_spec
from seatrial.api.spec import PodSecurity
from seatrial.plan.settings import FaultCeiling
from seatrial.plan.validation import Limits, validate

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
EXAMPLES = sorted(ROOT.glob("examples/*/run.yaml"))
ALL_ALLOWED = Limits(frozenset(PodSecurity), FaultCeiling(delegated=None))
VALUES = json.loads((ROOT / "helm/seatrial/values.schema.json").read_text())
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [m[3] for m in FENCE.finditer(page.read_text()) if m[2] == language]


def port(number: int) -> dict[str, Any]:
    return {"name": f"p{number}", "port": number}


def runs(text: str) -> list[dict[str, Any]]:
    documents = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    return [each for each in documents if each.get("kind") == KIND]


def prose(page: Path) -> list[str]:
    return FENCE.sub("", page.read_text()).splitlines()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=page_id)
def test_every_yaml_example_of_a_page_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        for run in runs(text):
            problems = validate(parse_run(run).spec, None, ALL_ALLOWED)
            assert [str(problem) for problem in problems] == []


PARTS = [
    pytest.param(page, text, id=f"{page.stem}-{number}")
    for page in PAGES
    if page != ROOT / "docs/reference/scenario.md"  # whose examples are carried out
    for number, text in enumerate(blocks(page, "yaml"))
    if not runs(text)
]
# The services that parts of runs speak of.
AROUND = [
    {"name": "orders", "image": "x", "ports": [port(8080), port(8443), port(50051)]},
    *({"name": each, "image": "x", "ports": [port(8080)]} for each in ("login", "chat")),
    {"name": "db", "preset": "postgres"},
    {"name": "cache", "preset": "redis"},
    {"name": "events", "preset": "rabbitmq"},
]


@pytest.mark.parametrize(("page", "text"), PARTS)
def test_every_part_of_a_run_or_of_helm_values_that_a_page_shows_is_valid(
    page: Path, text: str
) -> None:
    part = yaml.safe_load(text)
    if page.stem == "install":
        jsonschema_rs.validate(VALUES, part)
        return
    if isinstance(part, list):
        part = {"scenario": part}
    if "scenario" in part:
        part = {"tests": [{"name": "shown", **part}]}
    holds = {"tests": [{"name": "holds", "scenario": [{"expect": ["true"]}]}]}
    spec = parse_spec({"spec": {"services": AROUND, **holds, **part}})
    assert [str(problem) for problem in validate(spec, None, ALL_ALLOWED)] == []


def test_there_are_such_parts() -> None:
    pages = Counter(each.values[0].stem for each in PARTS)
    assert pages["test-web-apis"] >= 9
    assert pages["install"] >= 9
    assert {"test-databases", "test-messages", "break-something"} <= set(pages)


def test_the_page_of_faults_shows_every_kind() -> None:
    page = ROOT / "docs/how-to/break-something.md"
    faults = [f for text in blocks(page, "yaml") for run in runs(text) for f in faults_of(run)]
    assert {kind for fault in faults for kind in KINDS if kind in fault} == set(KINDS)


def faults_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run["spec"].get("faults", [])
    return found


def test_the_pages_have_examples_to_check() -> None:
    assert sum(len(runs(text)) for page in PAGES for text in blocks(page, "yaml")) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_valid(example: Path) -> None:
    [run] = runs(example.read_text())
    assert parse_run(run).spec.tests


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in LINK.findall("\n".join(prose(page))):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file = (page.parent / target) if target else page
        assert file.exists(), f"{target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file), f"{target}{anchor}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = [line.lstrip("# ") for line in prose(page) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_reason_that_asks_for_something_has_an_entry_in_the_troubleshooting_page() -> None:
    page = ROOT / "docs/how-to/troubleshooting.md"
    headings = [line[4:] for line in page.read_text().splitlines() if line.startswith("### ")]
    wanted = [reason.value for reason in Reason if reason.remedy != "Nothing to do."]
    assert sorted(headings) == sorted(wanted)


@pytest.mark.parametrize("page", [p for p in PAGES if "docs/reference" not in str(p)], ids=page_id)
def test_prose_has_one_sentence_per_line(page: Path) -> None:
    ends = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)\. [A-Z]")
    prose_lines = [line for line in prose(page) if not re.match(r"[|#*-]|\d+\.", line)]
    assert [line for line in prose_lines if ends.search(line)] == []


def written_as_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", "\n".join(prose(page)))


def test_the_files_that_contributing_names_are_there() -> None:
    # Of what a contributor is to make (`ldap.py`, `<issue>.added.md`) the folder is there.
    named = {each.split("::")[0] for each in written_as_code(CONTRIBUTING) if "/" in each}
    paths = {each for each in named if re.fullmatch(r"[\w<>./-]+", each)}
    assert len(paths) > 15
    for path in paths:
        new = "ldap" in path or "<" in path
        places = [root / path for root in (ROOT, ROOT / "runner-image/seatrial_runner")]
        assert any((each.parent if new else each).exists() for each in places), path


def test_the_names_that_contributing_gives_are_in_the_files_it_gives() -> None:
    named = re.findall(r"`(\w+)`[^`|]* in `([\w/-]+\.py)`", "\n".join(prose(CONTRIBUTING)))
    assert {"Service", "ACTIONS", "OBSERVED", "Kind"} <= {name for name, _ in named}
    for name, path in named:
        places = [root / path for root in (ROOT, ROOT / "runner-image/seatrial_runner")]
        [file] = [each for each in places if each.exists()]
        defined = rf"^(class {name}\b|{name}\b.*=|def {name}\b|    {name}:)"
        assert re.search(defined, file.read_text(), re.MULTILINE), f"{path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_a_page_says_to_make_can_be_made(page: Path) -> None:
    can_be = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = "\n".join([*written_as_code(page), *blocks(page, "console")])
    for words in re.findall(r"(?:^|\$ |; |=local |=kind |=current )make ([\w -]+)", commands, re.M):
        for word in words.split():
            assert word in can_be or word.isupper() or word.startswith("-"), f"make {word}"


def test_the_tutorials_first_run_is_the_hello_example_after_its_repair() -> None:
    [first, *_] = blocks(ROOT / "docs/tutorial/first-test.md", "yaml")
    [hello] = runs((ROOT / "examples/hello/run.yaml").read_text())
    assert runs(first.replace("'mars'", "'world'"))[0]["spec"] == hello["spec"]
