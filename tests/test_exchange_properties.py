"""What must hold in every exchange: nothing lost, nothing doubled, and the order of the answers decides nothing.

The months are small and played by the real conductor. A month is judged once; its answers are then delivered to copies
of the MO's home in other orders. ``-m slow`` plays many more.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lxml import etree

from oms_batch import clock, insurance, office
from oms_batch.doors import proofs
from oms_batch.errors import WrongState
from oms_batch.store import ledger
from oms_batch.store.schema import accounts, moves, registers
from oms_batch.synth.insured import COLUMNS, insured
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from tests.participants import PARTIES, Exchange

NAMES = ("mo", "tfoms", "smo-p", "smo-r")
PAYERS = {"F": "tfoms", "P": "smo-p", "R": "smo-r"}
SMO = COLUMNS.index("SMO")
KODS = ("43", "44", "45")
# an example takes seconds: a failing one is shown as it is, not made smaller for minutes
ONCE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
Key = tuple[str, str]


@pytest.fixture(autouse=True)
def _october() -> None:
    when = clock.parse("2018-10-02T09:30:00+03:00")
    clock.set_wall(lambda: when)


# ---- one random exchange ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What month to play: the register, what is wrong in it, and the dice of couriers and experts."""

    accounts: int
    seed: int
    payers: tuple[tuple[str, int], ...]
    per_mille: int
    elsewhere: int  # per mille of persons whom the insurer's own register has with another insurer
    dice: int


ORDERS = st.builds(
    Order,
    accounts=st.integers(1, 14),
    seed=st.integers(1, 10_000),
    payers=st.sampled_from([(("P", 1),), (("P", 2), ("F", 1)), (("P", 1), ("R", 1)), (("P", 3), ("R", 2), ("F", 1))]),
    per_mille=st.sampled_from([0, 150, 400, 1000]),
    elsewhere=st.sampled_from([0, 200]),
    dice=st.integers(0, 1 << 30),
)


@dataclass
class Month:
    """An exchange in play: files under way, and every register that ever left somebody, by sender and name."""

    exchange: Exchange
    dice: random.Random
    pending: dict[Key, dict[str, bytes]] = field(default_factory=dict)
    sent: dict[Key, dict[str, bytes]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    doubled: int = 0
    steady: bool = False

    def collect(self) -> None:
        for sender in self.exchange.names:
            for receiver in self.exchange.names:
                for path in self.exchange.outbox(sender, receiver):
                    content = path.read_bytes()
                    path.unlink()
                    again = self.sent.setdefault((sender, receiver), {}).setdefault(path.name, content)
                    assert again == content, f"{path.name}: another answer to the same file"
                    self.pending.setdefault((sender, receiver), {})[path.name] = content

    def deliver(self, pair: Key) -> None:
        """Some of the files under way between two, and a sweep; now and then a file will come once more."""
        held = self.pending[pair]
        for name in self.dice.sample(sorted(held), self.dice.randint(1, len(held))):
            self.exchange.put(pair[1], pair[0], name, held[name])
            if self.doubled < 4 and self.dice.random() < 0.2:
                self.doubled += 1
            else:
                del held[name]
        if not held:
            del self.pending[pair]
        for handled in self.exchange.sweep(pair[1]):
            assert handled.outcome in ("answered", "parked", "duplicate", "companion"), handled

    def close(self, payer: str) -> bool:
        """Random decisions of experts, then the final answer; ``False``: the first stage is not answered yet."""
        with self.exchange.at(payer) as site:
            passed = ledger.accounts_in(site.ledger, "accepted")
            rows = [";".join(office.DECISION_HEAD)]
            for number, row in enumerate(passed):
                withheld = self.decide(number, row["sumv"])
                if withheld:
                    money = f"{withheld // 100}.{withheld % 100:02d}"
                    rows.append(f"{row['xkey']};{self.dice.choice(KODS)};{money};{number}/18;2018-10-20;300-000-048 06")
            file = self.exchange.root / f"experts-{payer}.csv"
            file.write_text("\n".join(rows) + "\n", "utf-8")
            if len(rows) > 1 and len({row["xkey"] for row in passed}) == len(passed):
                office.bring_decisions(site, str(file), "test")
        try:
            self.exchange.finalise(payer)
        except WrongState as error:
            if error.code != "STAGE_ORDER":
                raise
            return False
        self.closed.add(payer)
        return True

    def decide(self, number: int, kopecks: int) -> int:
        """What the experts withhold of an account: nothing, a part, the whole."""
        if self.steady:
            return (kopecks, kopecks // 2, 0)[number % 3]
        if not kopecks or self.dice.random() > 0.4:
            return 0
        return self.dice.choice([kopecks, self.dice.randint(1, kopecks)])

    def play(self) -> None:
        """Until nothing is under way: couriers, the MO and the payers act in any order."""
        self.exchange.sweep("mo")
        for _turn in range(200):
            self.collect()
            acts = [*sorted(self.pending), "reformulate"]
            acts += [f"close {name}" for name in PAYERS.values() if name not in self.closed and self.answered(name)]
            act = self.dice.choice(acts)
            if isinstance(act, tuple):
                self.deliver(act)
            elif act == "reformulate":
                self.reformulate()
            else:
                self.close(act.partition(" ")[2])
            self.collect()
            if not self.pending and not self.reformulate() and not self.unfinished():
                return
        raise AssertionError("the exchange does not come to rest")

    def reformulate(self) -> int:
        try:
            return len(self.exchange.reformulate())
        except WrongState as error:
            if error.code != "STAGE_ORDER":
                raise
            return 0

    def answered(self, payer: str) -> bool:
        letter = PARTIES[payer]["letter"]
        return any(name[-6:-4] == f"5{letter}" for name in self.sent.get((payer, "mo"), {}))

    def unfinished(self) -> bool:
        self.collect()
        waits = any(self.answered(name) and name not in self.closed for name in PAYERS.values())
        return bool(self.pending) or waits

    def documents(self, sender: str, receiver: str, stage: str) -> dict[str, bytes]:
        """Payer letter → document of one stage between two."""
        found = self.sent.get((sender, receiver), {})
        return {name[-5]: content for name, content in found.items() if name[-6] == stage and name[-5].isalpha()}


def begin(order: Order, root: Path) -> tuple[Month, bytes]:
    exchange = Exchange(root, NAMES)
    spec = Spec(accounts=order.accounts, seed=order.seed, period="2018-09", encoding="utf-8", payers=dict(order.payers))
    changes: dict[str, Any] = {}
    if order.per_mille:
        planted = plant(exchange.profile, spec, Plan(per_mille=order.per_mille))
        content, changes = b"".join(planted.blocks), planted.expected["insured"]
    else:
        content = b"".join(register(exchange.profile, spec))
    rows = list(insured(exchange.profile, spec, changes))
    dice = random.Random(order.dice)
    know(exchange, "tfoms", rows)
    for name, other in (("smo-p", "76002"), ("smo-r", "76001")):
        own = [row if dice.randrange(1000) >= order.elsewhere else (*row[:SMO], other, *row[SMO + 1 :]) for row in rows]
        know(exchange, name, own)
    exchange.put("mo", "", build(exchange.profile, spec).file_name("3", "X", ".xml"), content)
    return Month(exchange, dice), content


def know(exchange: Exchange, name: str, rows: list[tuple[str, ...]]) -> None:
    """The register of the insured of one participant; a person stands in it at least, or there is none."""
    spare = ("7600000000000000", "3", "", "7600000000000000", "НИКТО", "НИКТО", "", "1950-01-01", "1", "", "76001")
    path = exchange.root / f"insured-{name}.csv"
    lines = [COLUMNS, *rows, (*spare, "2012-01-01", "")]
    path.write_text("".join(";".join(row) + "\n" for row in lines), "utf-8")
    with exchange.at(name) as site:
        insurance.bring_in(site, str(path))


# ---- what must hold --------------------------------------------------------------------------------


def billed(document: bytes) -> Counter[tuple[str, str]]:
    """Accounts of a register: (key, position) with how often; what is claimed for each stands in ``claimed``."""
    return Counter(
        (one.get("xkey", ""), one.get("n_pp", "")) for one in etree.fromstring(document).iter("personal_account")
    )


def claimed(document: bytes) -> int:
    texts = etree.fromstring(document).xpath("//personal_account/sum/elem/@suml")
    return sum(int(text.replace(".", "")) for text in texts if text.replace(".", "").isdigit() and text[-3:-2] == ".")


def check(month: Month, content: bytes) -> None:
    """Each ledger by itself, the participants with each other, and the documents with each other."""
    exchange = month.exchange
    totals = {name: exchange.totals(name) for name in NAMES}
    for name, one in totals.items():
        assert one["balanced"], (name, one["problems"])
        parts = [key for key in one["accounts"] if key != "sent"]
        assert one["accounts"]["sent"] == sum(one["accounts"][key] for key in parts)
    mo, fund = totals["mo"], totals["tfoms"]
    assert mo["accounts"]["waiting"] == 0
    for what in ("accounts", "sums"):
        assert mo[what]["sent"] == fund[what]["sent"]
        assert mo[what]["refused_1"] == fund[what]["refused_1"]
        for bucket in ("refused_6", "accepted_5", "refused_2"):
            assert number(mo[what][bucket]) == sum(number(totals[name][what][bucket]) for name in NAMES[1:]), bucket
    ones = month.documents("tfoms", "mo", "1")
    assert sum(map(billed, ones.values()), Counter()) == billed(content)
    assert sum(map(claimed, ones.values())) == claimed(content)
    for letter, payer in PAYERS.items():
        if letter not in ones:
            continue
        (forwarded,) = month.documents("mo", payer, "1").values()
        five, six = (month.documents(payer, "mo", stage)[letter] for stage in "56")
        two = month.documents(payer, "mo", "2")[letter]
        assert billed(five) + billed(six) == billed(forwarded)
        assert claimed(five) + claimed(six) == claimed(forwarded)
        assert billed(two) <= billed(five)
        assert claimed(two) <= claimed(five)
        proof = prove(exchange.root, ones[letter], forwarded)
        assert proof["kept_byte_equal"] and not proof["problems"]
        assert {(one["account"], one["idcase"]) for one in proof["excluded"]} == set(
            billed(ones[letter]) - billed(forwarded)
        )
        again = prove(exchange.root, forwarded, forwarded)
        assert again["kept_byte_equal"] and not again["problems"] and again["excluded"] == []
    assert month.reformulate() == 0


def number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value.replace(".", ""))


def prove(root: Path, old: bytes, new: bytes) -> dict[str, Any]:
    (root / "old.xml").write_bytes(old)
    (root / "new.xml").write_bytes(new)
    return proofs.reformulation(str(root / "old.xml"), str(root / "new.xml"))


def conserved(order: Order, folder: Path) -> None:
    root = folder / str(abs(hash(order)))
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    month, content = begin(order, root)
    month.play()
    check(month, content)
    shutil.rmtree(root)


@settings(ONCE, max_examples=3)
@given(order=ORDERS)
def test_nothing_is_lost_in_a_random_exchange(order: Order, tmp_path_factory: pytest.TempPathFactory) -> None:
    conserved(order, tmp_path_factory.mktemp("exchange"))


@pytest.mark.parametrize(
    "order",
    [
        Order(12, 5, (("P", 3), ("R", 2), ("F", 1)), 400, 200, 11),
        Order(6, 77, (("P", 1), ("R", 1)), 1000, 0, 12),
    ],
    ids=["three payers", "every person has a defect"],
)
def test_nothing_is_lost_in_these_exchanges(order: Order, tmp_path: Path) -> None:
    conserved(order, tmp_path)


@pytest.mark.slow
@settings(ONCE, max_examples=10)
@given(order=ORDERS)
def test_nothing_is_lost_in_many_random_exchanges(order: Order, tmp_path_factory: pytest.TempPathFactory) -> None:
    conserved(order, tmp_path_factory.mktemp("exchange"))


# ---- the order of the answers ------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Judged:
    """A month that was judged: the MO's home as it was after sending, the answers, and how it ended."""

    exchange: Exchange
    after_sending: Path
    answers: tuple[tuple[str, str, bytes], ...]  # (sender, name, content)
    end: list[tuple[Any, ...]]
    forwarded: dict[str, bytes]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Two payers, refusals in 1, 6 and 2, a partial withholding; the files in the order of the book."""
    when = clock.parse("2018-10-02T09:30:00+03:00")
    clock.set_wall(lambda: when)
    root = tmp_path_factory.mktemp("judged")
    month, _content = begin(Order(10, 21, (("P", 3), ("F", 2)), 300, 250, 4), root)
    exchange, month.steady = month.exchange, True
    exchange.sweep("mo")
    shutil.copytree(root / "mo", root / "mo-after-sending", symlinks=True)
    month.collect()
    steps = (("tfoms",), ("mo",), ("reformulate",), ("smo-p", "tfoms"), ("mo",), ("close",), ("mo",))
    for names in steps:
        for pair in [key for key in month.pending if key[1] in names]:
            for name, content in month.pending.pop(pair).items():
                exchange.put(pair[1], pair[0], name, content)
        for name in names:
            if name == "reformulate":
                exchange.reformulate()
            elif name == "close":
                assert month.close("smo-p")
                assert month.close("tfoms")
            else:
                exchange.sweep(name)
        month.collect()
    answers = [
        (sender, name, content)
        for sender in ("tfoms", "smo-p")
        for name, content in month.sent[sender, "mo"].items()
        if name.endswith(".xml")
    ]
    end = state(exchange)
    assert {row[3] for row in end} == {"fund_refused", "stage1_refused", "accepted", "final_refused"}
    assert any(row[3] == "accepted" and row[6] for row in end), "a partial withholding is wanted"
    left = {**month.sent["mo", "smo-p"], **month.sent["mo", "tfoms"]}
    forwarded = {name: content for name, content in left.items() if name[-6] == "1"}
    return Judged(exchange, root / "mo-after-sending", tuple(answers), end, forwarded)


def state(exchange: Exchange) -> list[tuple[Any, ...]]:
    """Accounts of the MO's ledger with their state and what refused them; no numbers of rows, no moments."""
    last = (
        sa.select(sa.func.max(moves.c.seq))
        .where(moves.c.account_id == accounts.c.id)
        .correlate(accounts)
        .scalar_subquery()
    )
    a, m = accounts.c, moves.c
    query = (
        sa.select(
            registers.c.name, a.xkey, a.nth, a.state, a.payer, a.sumv, a.withheld, m.stage, m.defect, m.kod, m.rule
        )
        .select_from(accounts.join(registers).join(moves, sa.and_(m.account_id == a.id, m.seq == last)))
        .order_by(registers.c.name, a.xkey, a.nth)
    )
    with exchange.at("mo") as site, site.ledger.read() as con:
        return [tuple(row) for row in con.execute(query)]


def replay(month: Judged, order: list[int], cuts: set[int], twice: set[int], between: set[int]) -> None:
    """Deliver the answers in this order to the MO as it was after sending; a sweep at each cut."""
    exchange = month.exchange
    shutil.rmtree(exchange.root / "mo")
    shutil.copytree(month.after_sending, exchange.root / "mo", symlinks=True)
    left: dict[str, bytes] = {}
    for place, number in enumerate(order):
        for again in (number, order[0])[: 1 + (place in twice)]:
            sender, name, content = month.answers[again]
            exchange.put("mo", sender, name, content)
        if place in cuts:
            left |= swept(exchange)
        if place in between:
            left |= reformulated(exchange)
    for _turn in range(3):
        left |= swept(exchange)
        left |= reformulated(exchange)
    left |= swept(exchange)
    assert state(exchange) == month.end
    assert exchange.totals("mo")["balanced"]
    assert sorted(left) == sorted(month.forwarded)
    assert all(left[name] == content for name, content in month.forwarded.items())


def swept(exchange: Exchange) -> dict[str, bytes]:
    for handled in exchange.sweep("mo"):
        assert handled.outcome in ("answered", "parked", "duplicate"), handled
    return out(exchange)


def reformulated(exchange: Exchange) -> dict[str, bytes]:
    try:
        exchange.reformulate()
    except WrongState as error:
        if error.code != "STAGE_ORDER":
            raise
    return out(exchange)


def out(exchange: Exchange) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for to in ("smo-p", "tfoms")
        for path in exchange.outbox("mo", to)
        if path.name[-6:-5] == "1"
    }


def ways(count: int) -> st.SearchStrategy[tuple[list[int], set[int], set[int], set[int]]]:
    places = st.sets(st.integers(0, count - 1))
    return st.tuples(st.permutations(range(count)), places, places, places)


ANSWERS = 8  # 1, 6, 5, 2 of two payers


@settings(ONCE, max_examples=4)
@given(way=ways(ANSWERS))
def test_the_order_of_the_answers_decides_nothing(way: Any, judged: Judged) -> None:
    replay(judged, *way)


def test_the_whole_month_backwards_and_every_file_alone(judged: Judged) -> None:
    assert len(judged.answers) == ANSWERS
    back = sorted(range(ANSWERS), key=lambda at: "1652".index(judged.answers[at][1][-6]), reverse=True)
    replay(judged, back, set(range(ANSWERS)), {1, 3}, {6, 7})


@pytest.mark.slow
@settings(ONCE, max_examples=12)
@given(way=ways(ANSWERS))
def test_many_orders_of_the_answers_decide_nothing(way: Any, judged: Judged) -> None:
    replay(judged, *way)


def test_the_day_of_the_months_is_before_the_deadline() -> None:
    assert clock.today() == date(2018, 10, 2)
