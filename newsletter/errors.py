"""Base class of the errors that users see, with their messages.

A message is an English sentence and the key of its translation: pages and the command line
translate it, so the words stand in one place. Nothing here knows HTTP.
"""


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for "translate later"
    """Mark a sentence for the translators without translating it here."""
    return message


class NewsletterError(Exception):
    """A refusal: understood, not carried out, and nothing has changed."""

    message = N_("This cannot be done.")

    def __init__(self, **values: object) -> None:
        self.values = values
        super().__init__(self.message % values if values else self.message)


class NotFound(NewsletterError):
    """What was asked for is not here."""

    message = N_("There is nothing here.")


class LinkInvalid(NewsletterError):
    """A link that we did not make, or that was cut on its way."""

    message = N_("The link does not work. Check that you copied all of it.")


class LinkExpired(NewsletterError):
    """A genuine link whose time is over."""

    message = N_("The link is no longer valid. You can subscribe again.")


class AddressInvalid(NewsletterError):
    """Not an address that mail can be sent to."""

    message = N_("Enter an e-mail address in the form name@example.com.")


class NotAllowed(NewsletterError):
    """The person is signed in, and their level does not reach this far."""

    message = N_("Your user level does not give access to this page. Ask an administrator for it.")


class Unavailable(NewsletterError):
    """It would be done if something of ours worked; worth another try."""

    message = N_("Something went wrong. Try again later.")


class StartRefused(NewsletterError):
    """The program cannot start as it is set up; the message says what to change."""

    message = "%(reason)s"
