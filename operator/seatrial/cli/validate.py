"""``seatrial validate``: what the operator would say of a run, but for its own Helm values."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from seatrial.api.errors import ForbiddenError, InvalidSpecError, NotFoundError, SpecError
from seatrial.cli.client import Cluster, RefusedError, connect, core_path, runs_path
from seatrial.cli.documents import Documents, read_documents
from seatrial.cli.exits import Exit
from seatrial.cli.submit import prepare

Json = dict[str, Any]

HELP = "say what the operator would say of a run, but for limits in its Helm values"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="files with runs; - for stdin")
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="also look for what it refers to, and ask the API server, changing nothing",
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
            metadata = manifest["metadata"]
            source = f"{file}: {metadata.get('name') or metadata['generateName']}"
            if problems := problems_of(manifest, documents, cluster):
                bad = True
                print_problems(source, problems)
            else:
                print(f"{source} is valid")
    return Exit.REFUSED if bad else Exit.PASSED


def problems_of(
    manifest: Json, documents: Documents, cluster: Cluster | None = None
) -> Sequence[SpecError]:
    """
    Find every problem of a run.

    Objects in the same file count as there. Others that the run refers to are looked for in the
    cluster; without one they are taken to be there.
    """
    from seatrial.api.run import parse_run
    from seatrial.api.spec import PodSecurity
    from seatrial.plan.settings import FaultCeiling
    from seatrial.plan.validation import Limits, references, validate

    try:
        spec = parse_run(manifest).spec
    except InvalidSpecError as error:
        return error.problems
    here = {_reference(each): each for each in documents.others}
    found: dict[tuple[str, str], Json | None] = {}
    for key in references(spec):
        if key in here:
            found[key] = here[key]
        elif cluster is not None:
            found |= _look_up(cluster, _namespace(manifest, cluster), key)
    # What the cluster's operator allows is not known here, so that is for the operator to say:
    # who applies runs may not read its values.
    limits = Limits(frozenset(PodSecurity), FaultCeiling(delegated=None))
    problems = validate(spec, found, limits)
    if problems or cluster is None:
        return problems
    return list(_refusal(cluster, _namespace(manifest, cluster), manifest))


def print_problems(source: str, problems: Sequence[SpecError]) -> None:
    """Print one line for each problem, for people and for editors."""
    for problem in problems:
        print(f"{source}: {' '.join(str(problem).split())}", file=sys.stderr)


def _reference(document: Json) -> tuple[str, str]:
    return document["kind"], (document.get("metadata") or {}).get("name", "")


def _namespace(manifest: Json, cluster: Cluster) -> str:
    return str(manifest["metadata"].get("namespace") or cluster.namespace)


def _look_up(
    cluster: Cluster, namespace: str, key: tuple[str, str]
) -> dict[tuple[str, str], Json | None]:
    """Read an object; what we may not read counts as there, because the operator may."""
    kind, name = key
    try:
        return {key: cluster.get(core_path(namespace, f"{kind.lower()}s", name))}
    except NotFoundError:
        return {key: None}
    except ForbiddenError:
        return {}


def _refusal(cluster: Cluster, namespace: str, manifest: Json) -> Iterator[SpecError]:
    """Ask the API server whether it would take the run; one that is there already is fine."""
    try:
        cluster.create(runs_path(namespace), manifest, dryRun="All", fieldValidation="Strict")
    except RefusedError as error:
        if error.status != 409:
            yield SpecError("the API server", str(error))
