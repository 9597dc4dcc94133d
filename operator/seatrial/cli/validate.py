"""``seatrial validate``: everything the operator would say of a run, without a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from seatrial.api.errors import ClusterError, InvalidSpecError, SpecError
from seatrial.cli.client import connect, runs_path
from seatrial.cli.documents import Documents, read_documents
from seatrial.cli.exits import Exit
from seatrial.cli.submit import prepare

Json = dict[str, Any]

HELP = "say everything the operator would say of a run, without a cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="files with runs; - for stdin")
    parser.add_argument(
        "--cluster", action="store_true", help="also ask the cluster's API server, changing nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options) if options.cluster else None
    bad = False
    for file in options.files:
        documents = read_documents(file)
        if not documents.runs:
            documents.only_run()
        for manifest in documents.runs:
            manifest = prepare(manifest, name=None, keep=None)
            problems = problems_of(manifest, documents)
            if cluster is not None and not problems:
                namespace = manifest["metadata"].get("namespace") or cluster.namespace
                try:
                    cluster.create(
                        runs_path(namespace), manifest, dryRun="All", fieldValidation="Strict"
                    )
                except ClusterError as error:
                    if error.status != 409:
                        problems = [SpecError("the API server", str(error))]
            name = manifest["metadata"].get("name") or manifest["metadata"].get("generateName")
            if problems:
                bad = True
                print_problems(f"{file}: {name}", problems)
            else:
                print(f"{file}: {name} is valid")
    return Exit.REFUSED if bad else Exit.PASSED


def problems_of(manifest: Json, documents: Documents) -> Sequence[SpecError]:
    """
    Find every problem of a run that can be found here.

    Objects in the same file count as there. Others that the run refers to are not looked for: they
    may be in the cluster.
    """
    from seatrial.api.run import parse_run
    from seatrial.api.spec import PodSecurity
    from seatrial.plan.validation import Limits, references, validate

    try:
        spec = parse_run(manifest).spec
    except InvalidSpecError as error:
        return error.problems
    here = _by_reference(documents.others)
    known = {key: here[key] for key in references(spec) if key in here}
    # What the cluster's operator allows is not known here, so that is for the operator to say.
    limits = Limits(pod_security=frozenset(PodSecurity))
    return validate(spec, known, limits)


def print_problems(source: str, problems: Sequence[SpecError]) -> None:
    """Print one line for each problem, for people and for editors."""
    for problem in problems:
        print(f"{source}: {' '.join(str(problem).split())}", file=sys.stderr)


def _by_reference(objects: Sequence[Json]) -> Mapping[tuple[str, str], Json]:
    return {(each["kind"], (each.get("metadata") or {}).get("name", "")): each for each in objects}
