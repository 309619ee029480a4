"""SB-8: SPF, DKIM, DMARC, alignment, PTR, MX, TLS and one-click, as a real name server tells of them."""

import pytest

from newsletter.mail.deliverability import dns as asking
from newsletter.mail.deliverability import spf
from newsletter.mail.deliverability.checks import CHECKS, is_aligned, run_checks
from newsletter.mail.deliverability.dns import DnsResolver, DnsUnavailable
from newsletter.mail.deliverability.messages import CHECK_NAMES, MESSAGES
from newsletter.mail.dkim import dkim_signer
from newsletter.mail.models import Grade
from newsletter.mail.smtp.probe import ProbeResult
from tests.support.apps import load_settings
from tests.support.dkim_keys import rsa_pem

DOMAIN = "kirjakauppa.example"
ENCRYPTED = ProbeResult(tls="TLSv1.3")
FINE = {
    f"{DOMAIN} TXT": ["something else", "v=spf1 ip4:192.0.2.0/28 -all"],
    f"_dmarc.{DOMAIN} TXT": ["v=DMARC1; p=none; rua=mailto:raportit@kirjakauppa.example"],
    f"{DOMAIN} MX": ["10 mx.kirjakauppa.example."],
    "mx.kirjakauppa.example A": ["192.0.2.5"],
    "5.2.0.192.in-addr.arpa PTR": ["mx.kirjakauppa.example."],
    "uutiset.kirjakauppa.example A": ["192.0.2.80"],
    f"_mta-sts.{DOMAIN} TXT": ["v=STSv1; id=1"],
    f"_smtp._tls.{DOMAIN} TXT": ["v=TLSRPTv1; rua=mailto:tls@kirjakauppa.example"],
    f"default._bimi.{DOMAIN} TXT": ["v=BIMI1; l=https://kirjakauppa.example/logo.svg"],
}


@pytest.fixture
def look(tmp_path, name_server):
    """Examine settings against a zone and return what was found: ``{code: word}``."""

    def look_at(zone, greeting=ENCRYPTED, **settings):
        usual = {
            "base_url": "https://uutiset.kirjakauppa.example",
            "mail_server": "relay.example",
            "mail_addresses": "192.0.2.5",
            "dns_server": name_server.setting,
            "dkim_selector": "s1",
            "dkim_key": rsa_pem(),
        }
        chosen = load_settings(tmp_path, **usual | settings)
        signer = dkim_signer(chosen)
        published = {f"s1._domainkey.{signer.domain} TXT": [signer.keys[0].record]} if signer else {}
        name_server.zone = {name: found for name, found in (published | FINE | zone).items() if found}
        found = run_checks(chosen, DnsResolver(chosen), greeting)
        assert [item.code for item in found] == list(CHECKS)
        for item in found:
            assert all(text % item.values or text == "" for text in MESSAGES[item.word])
        return {item.code: (item.grade, item.word) for item in found}

    return look_at


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        ("MX.kirjakauppa.example", {}, (Grade.FINE, "ehlo_fine")),
        ("posti.kirjakauppa.example", {}, (Grade.FAILED, "ehlo_elsewhere")),
        (
            "posti.kirjakauppa.example",
            {"posti.kirjakauppa.example A": ["192.0.2.5"]},
            (Grade.NOTE, "ehlo_differs"),
        ),
    ],
)
def test_the_name_that_is_said_to_servers_is_the_one_that_dns_has(look, name, zone, said):
    assert look(zone, mail_ehlo_name=name)["ehlo"] == said


def test_all_is_well_where_dns_says_what_it_should(look):
    assert look({}) == {
        "spf": (Grade.FINE, "spf_fine"),
        "envelope": (Grade.FINE, "envelope_same"),
        "dkim": (Grade.FINE, "dkim_fine"),
        "dmarc": (Grade.FINE, "dmarc_fine"),
        "ptr": (Grade.FINE, "ptr_fine"),
        "ehlo": (Grade.NOTE, "ehlo_left"),
        "mx": (Grade.FINE, "mx_fine"),
        "tls": (Grade.FINE, "tls_fine"),
        "one_click": (Grade.FINE, "one_click_fine"),
        "advice": (Grade.FINE, "advice_fine"),
    }


@pytest.mark.parametrize(
    ("word", "zone"),
    [
        ("spf_missing", {f"{DOMAIN} TXT": ["something else"]}),
        ("spf_several", {f"{DOMAIN} TXT": ["v=spf1 -all", "v=spf1 a -all"]}),
        ("spf_open", {f"{DOMAIN} TXT": ["v=spf1 +all"]}),
        ("spf_elsewhere", {f"{DOMAIN} TXT": ["v=spf1 ip4:198.51.100.1 ~all"]}),
        ("spf_broken", {f"{DOMAIN} TXT": ["v=spf1 include:nobody.example -all"]}),
        ("dkim_missing", {f"s1._domainkey.{DOMAIN} TXT": []}),
        ("dkim_missing", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; p="]}),  # withdrawn
        ("spf_open", {f"{DOMAIN} TXT": ["v=spf1 all"]}),
        (
            "spf_include_open",
            {
                f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 include:r.example -all"],
                "r.example TXT": ["v=spf1 +all"],
            },
        ),
        (
            "spf_include_open",
            {f"{DOMAIN} TXT": ["v=spf1 redirect=r.example"], "r.example TXT": ["v=spf1 all"]},
        ),
        ("spf_term", {f"{DOMAIN} TXT": ["v=spf1 ipv4:192.0.2.5 -all"]}),
        ("spf_term", {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 -all."]}),
        ("spf_term", {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.500 -all"]}),
        ("spf_void", {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 a:x.example a:y.example mx:z.example -all"]}),
        ("spf_broken", {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 " + "mx " * 11 + "-all"]}),
        ("spf_broken", {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 include:kirjakauppa.example -all"]}),
        ("dkim_several", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; p=AAAA", "v=DKIM1; p=BBBB"]}),
        ("dkim_version", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM2; p=AAAA"]}),
        ("dkim_version", {f"s1._domainkey.{DOMAIN} TXT": ["p=AAAA; v=DKIM1"]}),
        ("dkim_kind", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; k=ed25519; p=AAAA"]}),
        ("dkim_kind", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; k=dsa; p=AAAA"]}),
        ("dkim_service", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; s=tlsrpt; p=AAAA"]}),
        ("dkim_hash", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; h=sha1; p=AAAA"]}),
        ("dkim_differs", {f"s1._domainkey.{DOMAIN} TXT": ["v=DKIM1; k=rsa; p=AAAA"]}),
        ("dmarc_missing", {f"_dmarc.{DOMAIN} TXT": []}),
        ("dmarc_missing", {f"_dmarc.{DOMAIN} TXT": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}),
        ("dmarc_unusable", {f"_dmarc.{DOMAIN} TXT": ["v=DMARC1; rua=mailto:a@kirjakauppa.example"]}),
        ("ptr_missing", {"5.2.0.192.in-addr.arpa PTR": []}),
        ("ptr_differs", {"5.2.0.192.in-addr.arpa PTR": ["elsewhere.example."]}),
        ("mx_missing", {f"{DOMAIN} MX": []}),
        ("mx_missing", {f"{DOMAIN} MX": ["10 nowhere.example."]}),
        ("mx_null", {f"{DOMAIN} MX": ["0 ."]}),
        ("one_click_nowhere", {"uutiset.kirjakauppa.example A": []}),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_else(look, word, zone):
    found = look(zone)

    assert {item for item in found.values() if item[0] is Grade.FAILED} == {(Grade.FAILED, word)}


@pytest.mark.parametrize(
    ("code", "found", "settings"),
    [
        ("dkim", (Grade.NOTE, "dkim_left"), {"dkim_key": "", "dkim_selector": ""}),
        ("dkim", (Grade.FAILED, "dkim_relay_missing"), {"dkim_key": "", "dkim_selector": "relay"}),
        ("dmarc", (Grade.FAILED, "dmarc_unaligned"), {"dkim_domain": "relay.example"}),
        ("ptr", (Grade.NOTE, "ptr_left"), {"mail_addresses": ""}),
        ("spf", (Grade.NOTE, "spf_there"), {"mail_addresses": ""}),
        ("spf", (Grade.FAILED, "spf_elsewhere"), {"mail_addresses": "192.0.2.5,2001:db8::5"}),
        ("tls", (Grade.NOTE, "tls_no_server"), {"greeting": None}),
        ("tls", (Grade.FAILED, "tls_missing"), {"greeting": ProbeResult()}),
        ("tls", (Grade.FINE, "tls_here"), {"greeting": ProbeResult(is_loopback_host=True)}),
        ("tls", (Grade.FAILED, "tls_broken"), {"greeting": ProbeResult("self-signed", is_tls_problem=True)}),
        ("tls", (Grade.FAILED, "tls_no_login"), {"greeting": ProbeResult("no AUTH", is_login_problem=True)}),
        ("tls", (Grade.UNKNOWN, "tls_unreachable"), {"greeting": ProbeResult("refused")}),
        ("one_click", (Grade.FAILED, "one_click_http"), {"base_url": "http://uutiset.kirjakauppa.example"}),
    ],
)
def test_settings_and_the_mail_server_are_judged_as_well(look, code, found, settings):
    assert look({}, **settings)[code] == found


BACK = {
    "paluu.kirjakauppa.example TXT": ["v=spf1 ip4:192.0.2.5 -all"],
    "paluu.kirjakauppa.example MX": ["10 mx.kirjakauppa.example."],
}


@pytest.mark.parametrize(
    ("found", "zone"),
    [
        ((Grade.FINE, "envelope_fine"), BACK),
        ((Grade.FAILED, "spf_missing"), BACK | {"paluu.kirjakauppa.example TXT": []}),
        (
            (Grade.FAILED, "spf_elsewhere"),
            BACK | {"paluu.kirjakauppa.example TXT": ["v=spf1 ip4:192.0.2.6 -all"]},
        ),
        ((Grade.FAILED, "spf_open"), BACK | {"paluu.kirjakauppa.example TXT": ["v=spf1 +all"]}),
        ((Grade.FAILED, "envelope_mx"), BACK | {"paluu.kirjakauppa.example MX": ["0 ."]}),
        ((Grade.FAILED, "envelope_mx"), BACK | {"paluu.kirjakauppa.example MX": []}),
    ],
)
def test_the_domain_that_mails_come_back_to_is_looked_at_as_well(look, found, zone):
    seen = look(zone, bounce_address="palaute@paluu.kirjakauppa.example", sender_address=f"u@{DOMAIN}")

    assert seen["envelope"] == found
    assert seen["spf"] == (Grade.FINE, "spf_fine")


def test_who_sends_through_a_relay_gets_its_includes_followed(look):
    record = {f"{DOMAIN} TXT": ["v=spf1 include:relay.example -all"]}

    assert look(record | {"relay.example TXT": ["v=spf1 ip4:198.51.100.0/24 -all"]}, mail_addresses="")[
        "spf"
    ] == (
        Grade.NOTE,
        "spf_there",
    )
    assert look(record, mail_addresses="")["spf"] == (Grade.FAILED, "spf_broken")
    assert look(record | {"relay.example TXT": ["v=spf1 +all"]}, mail_addresses="")["spf"] == (
        Grade.FAILED,
        "spf_include_open",
    )


def test_two_names_that_are_not_there_are_worth_knowing(look):
    record = {f"{DOMAIN} TXT": ["v=spf1 ip4:192.0.2.5 a:x.example a:y.example -all"]}

    assert look(record)["spf"] == (Grade.NOTE, "spf_void")


@pytest.mark.parametrize("name", ["_mta-sts", "_smtp._tls", "default._bimi", "_dmarc"])
def test_what_nobody_asks_for_is_advice(look, name):
    record = ["v=DMARC1; p=none"] if name == "_dmarc" else []

    found = look({f"{name}.{DOMAIN} TXT": record})

    assert found["advice"] == (Grade.NOTE, "advice_missing")
    assert not any(grade is Grade.FAILED for grade, _word in found.values())


def test_a_record_of_the_domain_above_counts_where_there_is_none(look):
    found = look(
        {"uutiset.kirjakauppa.example TXT": ["v=spf1 ip4:192.0.2.5 -all"]},
        sender_address="kirje@uutiset.kirjakauppa.example",
    )

    assert (found["dmarc"], found["dkim"]) == ((Grade.FINE, "dmarc_fine"), (Grade.FINE, "dkim_fine"))


def test_strict_alignment_is_held_to(look):
    strict = {f"_dmarc.{DOMAIN} TXT": ["v=DMARC1; p=reject; adkim=s"]}

    found = look(strict, dkim_domain="posti.kirjakauppa.example")

    assert found["dmarc"] == (Grade.FAILED, "dmarc_unaligned")
    assert look({}, dkim_domain="posti.kirjakauppa.example")["dmarc"] == (Grade.FINE, "dmarc_fine")


@pytest.mark.parametrize(
    ("signs", "domain", "relaxed"),
    [
        ("kirjakauppa.example", "kirjakauppa.example", True),
        ("kirjakauppa.example", "uutiset.kirjakauppa.example", True),
        ("uutiset.kirjakauppa.example", "kirjakauppa.example", True),
        ("example", "kirjakauppa.example", False),
        ("toinen.example", "kirjakauppa.example", False),
        ("kauppa.example", "kirjakauppa.example", False),
        # By what can be registered, and not by dots.
        ("posti.kirjakauppa.example", "uutiset.kirjakauppa.example", True),
        ("co.uk", "kirjakauppa.co.uk", False),
        ("toinen.co.uk", "kirjakauppa.co.uk", False),
        ("posti.kirjakauppa.co.uk", "kirjakauppa.co.uk", True),
        ("toinen.github.io", "kirjakauppa.github.io", False),
    ],
)
def test_one_signs_for_the_other_within_one_domain_only(signs, domain, relaxed):
    assert is_aligned(signs, domain, is_strict=False) is relaxed


def test_nobody_answering_is_not_the_same_as_there_being_nothing(look, name_server, monkeypatch):
    monkeypatch.setattr(asking, "QUERY_TIMEOUT", 0.1)
    name_server.is_silent = True

    found = look({})

    assert {code for code, (grade, word) in found.items() if (grade, word) == (Grade.UNKNOWN, "unanswered")} == {
        "spf", "dkim", "dmarc", "ptr", "mx", "one_click", "advice",
    }  # fmt: skip
    assert not any(grade is Grade.FAILED for grade, _word in found.values())


def test_a_name_server_in_trouble_knows_nothing_either(look, name_server):
    name_server.is_broken = True

    assert look({})["spf"] == (Grade.UNKNOWN, "unanswered")


def test_a_machine_without_a_name_server_is_told_so_at_once(tmp_path):
    names = DnsResolver(load_settings(tmp_path, dns_server="127.0.0.1:1"))
    names._resolver = None

    with pytest.raises(DnsUnavailable, match=r"kirjakauppa\.example"):
        names.txt_records(DOMAIN)


@pytest.mark.parametrize(
    ("record", "address", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/28 -all", "192.0.2.15", "pass"),
        ("v=spf1 ip4:192.0.2.0/28 -all", "192.0.2.16", "fail"),
        ("v=spf1 ip6:2001:db8::/32 ~all", "2001:db8::5", "pass"),
        ("v=spf1 ip6:2001:db8::/32 ~all", "192.0.2.5", "softfail"),
        ("v=spf1 a:mx.kirjakauppa.example/30 -all", "192.0.2.6", "pass"),
        ("v=spf1 mx ?all", "192.0.2.5", "pass"),
        ("v=spf1 -ip4:192.0.2.5 +all", "192.0.2.5", "fail"),
        ("v=spf1 include:relay.example -all", "198.51.100.9", "pass"),
        ("v=spf1 redirect=relay.example", "198.51.100.9", "pass"),
        ("v=spf1", "192.0.2.5", "neutral"),
    ],
)
def test_spf_is_read_as_a_receiver_reads_it(tmp_path, name_server, record, address, result):
    relay = {"relay.example TXT": ["v=spf1 ip4:198.51.100.0/24 ~all"]}
    name_server.zone = FINE | relay | {f"{DOMAIN} TXT": [record]}
    names = DnsResolver(load_settings(tmp_path, dns_server=name_server.setting))

    assert spf.check_host(DOMAIN, address, names) == result


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ("v=spf1 include:kirjakauppa.example -all", spf.SpfPermError),  # without an end
        ("v=spf1 ip4:300.1.1.1 -all", spf.SpfPermError),
        ("v=spf1 exists:%{i}.example -all", spf.SpfUnsupported),
        ("v=spf1 ptr -all", spf.SpfUnsupported),
    ],
)
def test_spf_that_cannot_be_followed_is_no_pass(tmp_path, name_server, record, error):
    name_server.zone = {f"{DOMAIN} TXT": [record]}
    names = DnsResolver(load_settings(tmp_path, dns_server=name_server.setting))

    with pytest.raises(error):
        spf.check_host(DOMAIN, "192.0.2.5", names)


def test_everything_that_can_be_found_has_its_words():
    assert set(CHECK_NAMES) == set(CHECKS)
