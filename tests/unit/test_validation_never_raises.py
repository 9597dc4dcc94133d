"""Whatever a user writes: an answer in sentences, never a traceback."""

from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_run
from seatrial.plan.validation import Limits, one_message, references, validate

from tests.support.builders import a_run
from tests.support.examples import examples
from tests.support.strategies import json_values, specs, spoiled_specs

objects = st.none() | st.fixed_dictionaries(
    {"metadata": st.just({"labels": {"seatrial.dev/readable-by": "runs"}})},
    optional={"data": st.dictionaries(st.sampled_from(["a.yaml", "test_a.py"]), st.text())},
)


def checked(manifest, found=None):
    """Give every problem that is found; fails if one is not a sentence about a field."""
    try:
        spec = parse_run(manifest).spec
    except InvalidSpecError as error:
        problems = error.problems
    else:
        problems = validate(spec, found or dict.fromkeys(references(spec)), Limits())
    for problem in problems:
        assert problem.field
        assert "\n" not in problem.field
        assert "Traceback" not in str(problem)
        assert "pydantic" not in str(problem)
        assert "type=" not in str(problem)
    return problems


@given(specs())
@settings(max_examples=examples(80), deadline=None)
def test_a_good_spec_is_accepted_and_the_question_whether_it_can_work_answered(spec):
    run = parse_run(a_run(**spec))

    for problem in validate(run.spec, dict.fromkeys(references(run.spec)), Limits()):
        assert problem.field.startswith("spec.")


@given(spoiled_specs(), st.dictionaries(st.just(("ConfigMap", "suite")), objects))
@settings(max_examples=examples(200), deadline=None)
def test_a_spoiled_spec_is_explained(spec, found):
    problems = checked({**a_run(), "spec": spec}, found)

    if problems:
        assert len(one_message(problems).splitlines()) == 1


@given(json_values)
@settings(max_examples=examples(80), deadline=None)
def test_any_json_in_place_of_a_spec_is_explained(spec):
    assert checked({**a_run(), "spec": spec})


@given(st.text(max_size=300), st.sampled_from(["{}", "{{{{ {} }}}}", "a == {}", "{{% {} %}}"]))
@settings(max_examples=examples(120), deadline=None)
def test_any_text_as_expression_template_and_manifest_is_explained(text, form):
    text = form.format(text)[:1024] or "x"
    step = {"http": {"post": "http://orders:8080", "json": text}, "expect": [text], "when": text}
    manifests = {"name": "more", "manifests": {"inline": text}}

    checked(a_run(services=[manifests], tests=[{"name": "a", "scenario": [step]}]))


def test_a_value_that_breaks_lines_is_shown_on_one():
    problems = checked({**a_run(), "spec": {"services": "\x85", "tests": []}})

    assert any(str(each) == r'spec.services: is "\u0085". It must be a list.' for each in problems)
