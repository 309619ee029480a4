"""Finding people by the beginning of any word of their address."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.subscribers import search
from newsletter.subscribers.models import AddressPart, Subscriber, SubscriptionStatus

ANNA, KALLE, LIISA = (
    "anna.virtanen@kirjakauppa.example",
    "kalle@posti.example",
    "liisa_k+uutiset@posti.example",
)


@pytest.fixture
def people(make_list, make_subscriber):
    mailing_list = make_list("oma")
    made = [make_subscriber(address, [mailing_list]) for address in (ANNA, KALLE, LIISA)]
    search.index_new_subscribers()
    return made


def found(text: str) -> list[str]:
    return [person.address for person in search.search_people(text).people]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("anna", [ANNA]),
        ("ANNA.Virt", [ANNA]),
        ("virtanen", [ANNA]),
        ("kirjakauppa", [ANNA]),
        ("kalle@posti.example", [KALLE]),
        ("posti", [KALLE, LIISA]),
        ("@posti", []),
        ("uutiset@", [LIISA]),
        ("k", [KALLE, ANNA, LIISA]),
        ("irtanen", []),
        ("%", []),
        ("_", []),
        ("'; drop table lists", []),
        ("\x00", [KALLE, ANNA]),
    ],
)
def test_a_word_of_the_address_finds_its_people(people, text, addresses):
    assert set(found(text)) >= set(addresses)
    assert len(found(text)) == len(set(found(text)))
    if "\x00" not in text:
        assert set(found(text)) == set(addresses)


def test_pages_neither_skip_nor_repeat(make_list, make_subscriber):
    mailing_list = make_list()
    everybody = {make_subscriber(f"nimi.nimi{number}@nimi.example", [mailing_list]).id for number in range(7)}
    search.index_new_subscribers()

    seen: list[int] = []
    after = ""
    while True:
        page = search.search_people("nimi", after=after, size=3)
        seen += [person.id for person in page.people]
        if page.next is None:
            break
        after = page.next

    assert (set(seen), len(seen)) == (everybody, 7)


def test_a_changed_address_is_found_by_its_new_words_alone(people):
    anna = people[0]
    anna.address = anna.address_key = "anna.korhonen@kirjakauppa.example"
    db.session.commit()

    assert (found("virtanen"), found("korhonen")) == ([], ["anna.korhonen@kirjakauppa.example"])


def test_an_erased_person_leaves_no_words(people):
    db.session.execute(sa.delete(Subscriber).where(Subscriber.id == people[0].id))
    db.session.commit()

    assert found("anna") == []
    assert (
        db.session.scalars(sa.select(AddressPart.part).where(AddressPart.part.contains("virtanen"))).all()
        == []
    )


def test_indexing_goes_on_where_it_ended(people, make_subscriber):
    make_subscriber("uusi@posti.example")

    assert (search.index_new_subscribers(), search.index_new_subscribers()) == (1, 0)


def test_browsing_goes_by_list_and_status(people, make_list, make_subscriber):
    other = make_list("muu")
    left = make_subscriber("pois@posti.example", [other], SubscriptionStatus.UNSUBSCRIBED)

    page = search.browse_people(mailing_list=other, status=SubscriptionStatus.UNSUBSCRIBED)

    assert [person.id for person in page.people] == [left.id]
    assert search.browse_people(size=2).next == str(people[1].id)


@pytest.mark.parametrize("text", ["virtanen", "a"])
def test_no_search_looks_through_the_whole_table(app, people, text):
    statement = sa.select(AddressPart.part, AddressPart.subscriber_id).where(
        AddressPart.part >= text, AddressPart.part < text + "\U0010ffff"
    )
    ordered = statement.order_by(AddressPart.part, AddressPart.subscriber_id).limit(51)
    connection = db.session.connection()
    sql = str(ordered.compile(connection, compile_kwargs={"literal_binds": True}))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")  # the better of two for few rows
        plan = str(connection.exec_driver_sql("EXPLAIN " + sql.replace("%", "%%")).scalars().all())
        assert "Index" in plan
        assert "Sort" not in plan
    else:
        plan = str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql).all())
        assert "SEARCH address_parts USING" in plan
        assert "TEMP B-TREE" not in plan
