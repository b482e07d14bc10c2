"""Prices of wider rules: what exists and is newly admitted, weighed by what it is."""

from __future__ import annotations

import random

import pytest
from rules_of import stock_of

from models.learn.sensitive import Sensitive
from models.learn.stock import FORBIDDEN, Stock
from models.policy import compile_pattern

FILES = (
    {"path": "/srv/www/a.html"},
    {"path": "/srv/www/b.html"},
    {"path": "/srv/www/packaged.html", "package": "site"},
    {"path": "/srv/www/private.html", "mode": 0o640},
    {"path": "/srv/www/sub/c.html"},
    {"path": "/srv/www", "object": "directory"},
    {"path": "/srv/www/link.html", "object": "symlink"},
    {"path": "/srv/www-other/d.html"},
    {"path": "/srv/tls/server.key"},
    {"path": "/srv/tls/server.crt"},
    {"path": "/etc/app/app.conf"},
    {"path": "/srv/odd", "path_raw": b"/srv/\xff\xfe"},
)


@pytest.fixture
def stock() -> Stock:
    return Stock(stock_of(*FILES), ["/srv/www/a.html", "/srv/www/not-there"], Sensitive())


def test_a_directory_admits_its_own_files_that_were_not_used(stock: Stock) -> None:
    price = stock.directory("/srv/www")
    assert price.existing == 3
    assert price.reading == pytest.approx(0.2 + 0.02 + 3.0)
    assert price.writing == pytest.approx(3 * 3.0)
    assert price.of(write=False) == price.reading
    assert price.of(write=True) == price.reading + price.writing
    assert stock.directory("/srv/nothing").existing == 0


def test_a_tree_admits_what_lies_deeper_and_no_neighbour(stock: Stock) -> None:
    assert stock.tree("/srv/www").existing == 4
    assert stock.tree("/srv").existing == 8
    assert stock.tree("/srv/ww").existing == 0


def test_a_pattern_admits_what_it_matches(stock: Stock) -> None:
    assert stock.pattern("/srv/www/*.html").existing == 3
    assert stock.pattern("/srv/www*/?.html").existing == 2
    assert stock.pattern("/srv/\\*").existing == 0


def test_names_that_are_no_utf8_are_priced_by_their_bytes(stock: Stock) -> None:
    assert stock.in_image("/srv/\udcff\udcfe")
    assert not stock.in_image("/srv/odd")


def test_secrets_cost_more_than_any_number_of_rules(stock: Stock) -> None:
    for price in (stock.directory("/srv/tls"), stock.tree("/srv"), stock.pattern("/srv/*/server.*")):
        assert price.reading >= FORBIDDEN
    assert stock.pattern("/srv/tls/*.crt").reading < 1


def test_what_is_written_in_a_protected_directory_costs_as_much(stock: Stock) -> None:
    price = stock.directory("/etc/app")
    assert price.reading < 1
    assert price.writing >= FORBIDDEN


def test_a_secret_that_was_used_is_not_newly_admitted() -> None:
    stock = Stock(stock_of(*FILES), ["/srv/tls/server.key"], Sensitive())
    assert stock.directory("/srv/tls").reading < 1
    assert stock.admission("directory", "/srv/tls").sensitive == ()


def test_the_root_is_the_dearest() -> None:
    for stock in (Stock(stock_of(*FILES), [], Sensitive()), Stock(stock_of(), [], Sensitive())):
        dearest = stock.tree("/").of(write=False)
        assert dearest > 10 * FORBIDDEN
        for value in ("/proc", "/sys", "/dev", "/etc", "/usr"):
            assert stock.tree(value).of(write=True) < dearest


def test_admission_names_what_it_admits(stock: Stock) -> None:
    told = stock.admission("tree", "/srv")
    assert told.existing == 8
    assert told.sensitive == ("/srv/tls/server.key",)
    assert len(told.examples) == 5
    assert told.known
    assert stock.admission("directory", "/srv/www").examples == (
        "/srv/www/b.html",
        "/srv/www/packaged.html",
        "/srv/www/private.html",
    )


@pytest.mark.parametrize("known", [True, False])
def test_file_systems_of_the_kernel_are_priced_without_an_inventory(known: bool) -> None:
    stock = Stock(stock_of(*FILES) if known else stock_of(), [], Sensitive())
    for directory in ("/proc", "/proc/4711", "/dev"):
        assert stock.tree(directory).reading >= FORBIDDEN
        assert stock.directory(directory).reading >= FORBIDDEN
    assert stock.pattern("/proc/[0-9]*/status").of(write=False) < 1
    assert stock.pattern("/proc/[0-9]*/**").of(write=False) >= FORBIDDEN
    assert stock.pattern("/proc/[0-9]*/*").of(write=False) >= FORBIDDEN
    assert stock.directory("/sys/devices/system/cpu").reading < 20
    assert stock.directory("/sys/devices/system/cpu").writing >= FORBIDDEN
    assert stock.pattern("/sys/fs/cgroup/[0-9a-f]*/memory.max").writing >= FORBIDDEN
    assert stock.directory("/dev/shm").of(write=True) < 100
    assert not stock.admission("tree", "/proc").known


def test_without_an_inventory_the_nearer_to_the_root_the_dearer() -> None:
    stock = Stock(stock_of(), [], Sensitive())
    assert not stock.known
    prices = [stock.tree(d).of(write=False) for d in ("/srv", "/srv/a", "/srv/a/b")]
    assert prices == sorted(prices, reverse=True)
    assert len(set(prices)) == 3
    assert stock.directory("/srv/a").reading < stock.tree("/srv/a").reading
    assert stock.directory("/tmp/a").reading < stock.directory("/srv/a").reading
    assert stock.directory("/usr/lib").writing >= FORBIDDEN
    assert not stock.directory("/srv/a").known


def test_prices_are_those_of_counting_every_file() -> None:
    maker = random.Random(7)
    names = ["a", "b", "a.x", "a-b", "a0", "sub", "ü"]
    paths = sorted({"/" + "/".join(maker.choices(names, k=maker.randint(1, 4))) for _ in range(400)})
    seen = set(maker.sample(paths, 60)) | {"/a/none"}
    stock = Stock(stock_of(*paths), seen, Sensitive())
    left = [p for p in paths if p not in seen]
    for directory in ("/a", "/a/b", "/b/a-b", "/sub", "/ü", "/a/b/a"):
        assert stock.directory(directory).existing == sum(p.rpartition("/")[0] == directory for p in left)
        assert stock.tree(directory).existing == sum(p.startswith(directory + "/") for p in left)
    for pattern in ("/a/*", "/*/a*", "/a/**", "/{a,b}/?", "/a/[a-b]*"):
        assert stock.pattern(pattern).existing == sum(bool(compile_pattern(pattern).fullmatch(p)) for p in left)


def test_a_directory_that_was_not_read_is_unknown_and_not_empty() -> None:
    closed = {"path": "/srv/closed", "object": "directory", "size": None}
    files = [{"path": "/srv/open/a"}, closed]
    stock = Stock(stock_of(*files), ["/srv/open/a"], Sensitive())
    assert stock.directory("/srv/open") == stock.tree("/srv/open")
    assert stock.directory("/srv/open").known
    for price in (stock.directory("/srv/closed"), stock.tree("/srv/closed/deeper"), stock.tree("/srv")):
        assert not price.known
        assert price.reading > 0
    assert not stock.pattern("/srv/closed/*.log").known
    assert stock.pattern("/srv/open/*.log").known
    assert not stock.admission("tree", "/srv").known
