"""``seatrial version``: what is installed here, and in the cluster."""

from __future__ import annotations

import argparse

from seatrial.api import names
from seatrial.api.errors import NotFoundError, SeatrialError
from seatrial.cli.client import connect
from seatrial.cli.exits import Exit

HELP = "print versions, here and in the cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--client", action="store_true", help="do not ask the cluster")


def run(options: argparse.Namespace) -> int:
    """Carry the command out; a cluster that is not there is said, and is no failure."""
    from importlib.metadata import version

    print(f"seatrial {version('seatrial')}, resource {names.API_VERSION}")
    if options.client:
        return Exit.PASSED
    try:
        cluster = connect(options)
        print(f"cluster {cluster.host}: Kubernetes {cluster.get('/version')['gitVersion']}")
        served = [v["version"] for v in cluster.get(f"/apis/{names.GROUP}")["versions"]]
        print(f"cluster {cluster.host}: {names.GROUP} {', '.join(served)}")
    except NotFoundError:
        print(f"cluster {cluster.host}: no {names.GROUP}; install Seatrial with its Helm chart")
    except SeatrialError as error:
        print(f"cluster: {error}")
    return Exit.PASSED
