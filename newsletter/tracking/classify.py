"""Who fetched it: a person, or a machine on the way to one. Rules carry a version."""

from newsletter.tracking.models import MachineClass

RULES_VERSION = 1

#: Picture proxies that fetch when the person opens the mail: a person's open, an address not theirs.
_PROXIES = ("GoogleImageProxy", "YahooMailProxy")
#: Apple's privacy feature fetches every picture, opened or not, and calls itself just this.
_APPLE = "Mozilla/5.0"

#: What counts as a person's own.
HUMAN = frozenset({MachineClass.HUMAN, MachineClass.PROXY})


def classify(user_agent: str) -> MachineClass:
    """Return the class of one hit from what its sender calls itself."""
    if any(proxy in user_agent for proxy in _PROXIES):
        return MachineClass.PROXY
    if user_agent == _APPLE:
        return MachineClass.APPLE_MPP
    return MachineClass.HUMAN
