"""Brings about a mail of every kind that people get, the way people do: with forms and links."""

from collections.abc import Callable, Iterable
from email.message import EmailMessage
from urllib.parse import urlsplit

from tests.support.mailbox import every_link, link

#: Posts a form to a path of ours.
Post = Callable[[str, dict[str, str]], object]
#: Returns the so manieth mail to an address, as soon as it has been sent.
MailTo = Callable[[str, int], EmailMessage]

ASKED, SUBSCRIBED, MOVING, MOVED, GONE = (
    f"{name}@example.com" for name in ("asked", "subscribed", "moving", "moved", "gone")
)


def make_every_mail(list_slug: str, post: Post, mail_to: MailTo) -> list[EmailMessage]:
    """Return one mail of each kind but the newsletter, with links that have not been used.

    ``SUBSCRIBED`` and ``MOVED`` are left on the list.
    """

    def sign_up(address: str) -> None:
        post("/subscribe", {"email": address, "lists": list_slug, "consent": "yes", "lang": "fi"})

    def follow(mail: EmailMessage, kind: str, **form: str) -> None:
        post(path_of(link(mail, kind)), form)

    def subscribe(address: str) -> EmailMessage:
        sign_up(address)
        follow(mail_to(address, 1), "confirm")
        return mail_to(address, 2)

    sign_up(ASKED)
    asked = mail_to(ASKED, 1)

    activated = subscribe(SUBSCRIBED)
    sign_up(SUBSCRIBED)
    already = mail_to(SUBSCRIBED, 3)
    wishes = ({"action": "copy"}, {"action": "erase"}, {"lists": list_slug, "mail_language": "en"})
    for wish in wishes:
        follow(activated, "preferences", **wish)
    by_link = [mail_to(SUBSCRIBED, number) for number in (4, 5, 6)]

    moving = subscribe(MOVING)
    follow(moving, "preferences", action="address")
    follow(mail_to(MOVING, 3), "preferences", email=MOVED)
    follow(mail_to(MOVED, 1), "preferences")
    told = mail_to(MOVING, 4)
    follow(moving, "preferences", action="address")
    address_link = mail_to(MOVED, 2)
    follow(moving, "preferences", action="address")
    follow(mail_to(MOVED, 3), "preferences", email=SUBSCRIBED)
    taken = mail_to(SUBSCRIBED, 7)

    follow(subscribe(GONE), "unsubscribe", scope="all")
    return [asked, activated, already, *by_link, told, address_link, taken, mail_to(GONE, 3)]


def pages_behind(mails: Iterable[EmailMessage], own_address: str) -> list[str]:
    """Return the paths of ours that these mails lead to, each once."""
    links = [url for mail in mails for url in every_link(mail) if url.startswith(own_address)]
    return sorted({path_of(url) for url in links})


def path_of(url: str) -> str:
    """Return an address without its site."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
