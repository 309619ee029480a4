"""Single keys lead about; whoever they get in the way of turns them off (WCAG 2.1.4)."""

from newsletter.staff.auth.access import MENU
from newsletter.staff.models import Role
from tests.subscribers.pages import Page


def test_no_two_pages_share_a_letter():
    keys = [item.key for item in MENU]

    assert sorted(keys) == sorted(set(keys))
    assert not {"g", "?", "/"} & set(keys)


def test_the_dialog_names_the_pages_of_the_menu(client, enter):
    enter(role=Role.PRIVACY)

    page = Page(client.get("/staff/campaigns"))

    assert page.links("#keys dd a") == page.links("nav.menu a:not(.menu-door)")


def test_turned_off_they_are_gone_with_their_script_until_turned_on(client, enter, submit):
    enter()

    off = submit("/staff/account/", to="/staff/account/shortcuts", on="no")
    without = client.get("/staff/campaigns").text
    submit("/staff/account/", to="/staff/account/shortcuts", on="yes")

    assert (off.location, "keys" in without) == ("/staff/account/#shortcuts", False)
    assert "keys.js" in client.get("/staff/campaigns").text
