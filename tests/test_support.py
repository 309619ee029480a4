"""What the other tests rely on would notice what it is there to notice."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.subscribers.models import MailingList


def count_lists():
    return db.session.scalar(sa.select(sa.func.count()).select_from(MailingList))


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_test_commits_no_other_sees(make_list, turn):
    make_list()

    assert count_lists() == 1


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_of_its_own_is_empty_too(real_app, make_list, turn):
    make_list()

    assert count_lists() == 1


def test_a_rollback_of_the_product_takes_back_no_more_than_its_own(make_list, now):
    make_list()
    db.session.add(MailingList(slug="x", name="x", language="fi", created_at=now))
    db.session.flush()

    db.session.rollback()

    assert count_lists() == 1


def test_the_page_check_finds_a_fault(page, check_accessible):
    page.set_content("<html lang=fi><title>Hei</title><main><h1>Hei</h1><img src='data:,'></main></html>")

    with pytest.raises(AssertionError, match="image-alt"):
        check_accessible(page)


def test_the_real_program_answers_in_a_browser(live_server, page, check_accessible):
    page.goto(f"{live_server.url}/subscribe?lang=en")

    check_accessible(page)
    assert page.get_by_role("button", name="Subscribe").count() == 1
