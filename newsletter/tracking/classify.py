"""Classifies opens and clicks: a person, an image proxy, a link scanner or a bot. Rules carry a version.

A rule judges one hit (User-Agent, network, time since acceptance) or several clicks of one delivery.
Raise RULES_VERSION with every change, then run ``newsletter stats reclassify``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from newsletter.config import Settings
from newsletter.tracking.models import MachineClass
from newsletter.tracking.networks import Networks

RULES_VERSION = 2

#: Classes that count as a person's own open or click.
HUMAN_CLASSES = frozenset({MachineClass.HUMAN, MachineClass.PROXY})
#: Classes whose IP address is that of a relay, not of a reader.
RELAYED_CLASSES = frozenset({MachineClass.PROXY, MachineClass.APPLE_MPP, MachineClass.APPLE_SUSPECTED})
#: The number of the hidden link: only scanners follow it.
HONEYPOT_LINK = 0
#: Clicks of the same delivery this close to the hidden link were made by the same machine.
HONEYPOT_SECONDS = 60

#: Image proxies that fetch when the person opens the mail: a person's open from the proxy's address.
_PROXY = re.compile(r"GoogleImageProxy|YahooMailProxy")
#: Apple Mail Privacy Protection fetches every picture, opened or not, with exactly this User-Agent.
_APPLE = "Mozilla/5.0"
#: Gmail prefetches pictures with exactly this User-Agent, seen since 2021.
_GMAIL_PREFETCH = "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
_SCANNER = re.compile(
    r"Barracuda|Mimecast|Proofpoint|CiscoSecureEmail|IronPort|TMES|Trend ?Micro|FortiMail|FortiGuard|Sophos"
    r"|SafeLinks|Safe ?Links|MSRBOT|Symantec|MessageLabs|Forcepoint|Websense|ZScaler|Check ?Point|Avanan"
    r"|Vade ?Secure|Hornetsecurity|Retarus|Trustwave|Sonicwall|BitDefender|F-Secure|Kaspersky|VirusTotal"
    r"|urlscan|PhishTank|Cloudmark|Spamhaus|Rspamd",
    re.IGNORECASE,
)
_BOT = re.compile(
    # "Cubot" makes telephones.
    r"(?<!cu)bot\b|(?<!cu)bot/|crawl|spider|slurp|^curl/|^wget|libcurl|python|aiohttp|httpx|^java/"
    r"|okhttp/|Go-http"
    r"|Apache-HttpClient|Jetty|^Ruby|perl|^PHP|GuzzleHttp|node-fetch|axios|undici|headless|phantomjs|puppeteer"
    r"|playwright|selenium|webdriver|facebookexternal|Slackbot|Twitterbot|LinkedInBot|WhatsApp|TelegramBot"
    r"|Discordbot|SkypeUriPreview|Snap URL Preview|BingPreview|Google-Read-Aloud|Lighthouse"
    r"|monitor|uptime|pingdom"
    r"|nagios|scrapy|lua-resty|^-$|Embedly|Iframely|W3C_Validator|^Mozilla/4\.0$|Feedly|preview service",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules with the thresholds of the settings."""

    networks: Networks
    seconds: timedelta
    links: int
    window: timedelta

    @classmethod
    def of(cls, chosen: Settings) -> "Rules":
        """Return the rules of these settings.

        No scanner sits before the built-in mailbox, so there a quick hit is not taken for one.
        """
        quick = (
            0 if chosen.uses_mailbox and "scanner_seconds" not in chosen.sources else chosen.scanner_seconds
        )
        return cls(
            networks=Networks.of(chosen.relay_ranges, chosen.scanner_ranges),
            seconds=timedelta(seconds=quick),
            links=chosen.scanner_links,
            window=timedelta(seconds=chosen.scanner_window),
        )

    def classify(
        self, user_agent: str, ip: str = "", *, after: timedelta | None = None, link: int | None = None
    ) -> MachineClass:
        """Return the class of one hit.

        ``after`` is the time since the delivery was accepted, None when unknown.
        """
        named = class_by_user_agent(user_agent)
        if named is MachineClass.BOT:
            return named
        if link == HONEYPOT_LINK or self.networks.is_scanner(ip):
            return MachineClass.SCANNER
        if named is MachineClass.APPLE_SUSPECTED and self.networks.is_relay(ip):
            return MachineClass.APPLE_MPP
        if named in HUMAN_CLASSES and after is not None and after < self.seconds:
            return MachineClass.SCANNER
        return named

    def in_burst(self, clicks: Sequence[tuple[datetime, int]]) -> list[bool]:
        """Tell of each click (instant, link) of one delivery whether it belongs to a machine's burst.

        The clicks are in order of time.
        """
        found = [False] * len(clicks)
        start = 0
        for end, (at, _link) in enumerate(clicks):
            while at - clicks[start][0] > self.window:
                start += 1
            if len({link for _at, link in clicks[start : end + 1]}) >= self.links:
                found[start : end + 1] = [True] * (end + 1 - start)
        near = timedelta(seconds=HONEYPOT_SECONDS)
        for at, link in clicks:
            if link == HONEYPOT_LINK:
                found = [
                    was or abs(other - at) <= near for was, (other, _link) in zip(found, clicks, strict=True)
                ]
        return found


@lru_cache(maxsize=10_000)
def class_by_user_agent(user_agent: str) -> MachineClass:
    """Return the class by the User-Agent alone."""
    if _PROXY.search(user_agent):
        return MachineClass.PROXY
    if user_agent == _APPLE:
        return MachineClass.APPLE_SUSPECTED
    if user_agent.endswith(_GMAIL_PREFETCH) or _SCANNER.search(user_agent):
        return MachineClass.SCANNER
    if _BOT.search(user_agent):
        return MachineClass.BOT
    return MachineClass.HUMAN
