from ipaddress import IPv4Network

import pytest

from localcluster.addresses import FIRST, LAST, Addresses, free_slot
from localcluster.layout import LocalClusterError


def test_a_second_cluster_gets_another_range():
    first = free_slot([], [])
    assert free_slot([first], []) != first


def test_a_range_the_host_uses_is_not_taken():
    assert free_slot([], [f"10.{FIRST}.7.0/24"]) == FIRST + 1


def test_when_every_range_is_taken_the_error_says_what_to_do():
    with pytest.raises(LocalClusterError, match="make down"):
        free_slot(range(FIRST, LAST + 1), [])


def test_the_ranges_of_a_cluster_do_not_overlap():
    a = Addresses(FIRST)
    ranges = [IPv4Network(r) for r in (a.pods, a.services, f"{a.dns}/32", f"{a.host}/30")[:3]]
    assert not any(x.overlaps(y) for x in ranges for y in ranges if x is not y)
    assert all(r.subnet_of(IPv4Network(a.everything)) for r in ranges)


def test_an_interface_name_fits_the_kernel():
    assert len(Addresses(LAST).interface) <= 15
