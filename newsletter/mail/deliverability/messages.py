"""Messages of the deliverability checks: a sentence, and advice on what to do."""

from newsletter.errors import N_

#: The name of each check on a page.
CHECK_NAMES = {
    "spf": N_("SPF"),
    "envelope": N_("Return path"),
    "dkim": N_("DKIM"),
    "dmarc": N_("DMARC"),
    "ptr": N_("Reverse DNS"),
    "ehlo": N_("Name of the mail server"),
    "mx": N_("Mail for the sender"),
    "tls": N_("Encryption to the mail server"),
    "one_click": N_("Unsubscribing with one click"),
    "advice": N_("Further records"),
}
NO_ADVICE = ""

MESSAGES = {
    "unanswered": (
        N_("No name server answered when asked for %(name)s, so this is not known."),
        N_("Check that this machine may ask a name server, or name one with NEWSLETTER_DNS_SERVER."),
    ),
    "spf_missing": (
        N_("The domain %(domain)s does not say in DNS who may send for it (SPF)."),
        N_("Publish a TXT record that names the mail server, such as: v=spf1 ip4:192.0.2.25 -all"),
    ),
    "spf_several": (
        N_("The domain %(domain)s has several SPF records, which counts as none."),
        N_("Put what they say into one record."),
    ),
    "spf_open": (
        N_("The SPF record of %(domain)s lets the whole world send for it."),
        N_("End it with -all or ~all instead of +all."),
    ),
    "spf_broken": (
        N_("The SPF record of %(domain)s cannot be used: %(reason)s"),
        N_("It may ask ten further questions at most, and each domain it includes needs its own."),
    ),
    "spf_unsupported": (
        N_("The SPF record of %(domain)s uses %(term)s, which is not carried out here."),
        N_("Look into a mail that arrived: its Authentication-Results say whether SPF passed."),
    ),
    "spf_include_open": (
        N_("The SPF record of %(domain)s includes %(include)s, which lets the whole world send for it."),
        N_("Take that part out of the record, or ask whoever runs it to end theirs with -all or ~all."),
    ),
    "spf_term": (
        N_("The SPF record of %(domain)s has a part that no receiver knows: %(term)s"),
        N_("Correct or remove it: with it the whole record counts as broken."),
    ),
    "spf_void": (
        N_("The SPF record of %(domain)s asks for names that do not exist: %(names)s"),
        N_("Remove them: receivers forgive two, and then call the whole record broken."),
    ),
    "envelope_same": (N_("Mails come back to %(domain)s, the sender's own domain."), NO_ADVICE),
    "envelope_fine": (
        N_("Mails come back to %(domain)s, which has an SPF record and takes mail."),
        NO_ADVICE,
    ),
    "envelope_mx": (
        N_("Nobody takes mail for %(domain)s, where mails come back to: bounces are lost."),
        N_("Publish an MX record for the domain, or choose another NEWSLETTER_BOUNCE_ADDRESS."),
    ),
    "spf_elsewhere": (
        N_("The SPF record of %(domain)s does not let %(address)s send for it (%(result)s)."),
        N_("Add the address to the record."),
    ),
    "spf_there": (
        N_("The domain %(domain)s has an SPF record."),
        N_("Set NEWSLETTER_MAIL_ADDRESSES to have it checked whether it covers your own mail server."),
    ),
    "spf_fine": (N_("The SPF record of %(domain)s covers where our mail comes from."), NO_ADVICE),
    "dkim_left": (
        N_("No DKIM key is set here: signing is left to the mail server, and nothing can be said of it."),
        N_("Set NEWSLETTER_DKIM_KEY, or NEWSLETTER_DKIM_SELECTOR alone where the mail server signs."),
    ),
    "dkim_missing": (
        N_("The public half of the DKIM key does not stand in DNS under %(name)s."),
        N_("Publish the TXT record that newsletter doctor shows."),
    ),
    "dkim_relay_missing": (
        N_("There is no DKIM record under %(name)s, with which the mail server is said to sign."),
        N_("Publish the record that the mail server's maker names, or correct NEWSLETTER_DKIM_SELECTOR."),
    ),
    "dkim_differs": (
        N_("The DKIM record under %(name)s belongs to another key, so no signature holds."),
        N_("Publish the TXT record that newsletter doctor shows."),
    ),
    "dkim_several": (
        N_("There are several DKIM records under %(name)s, and receivers use any of them or none."),
        N_("Leave one record under the name, and give each key a selector of its own."),
    ),
    "dkim_version": (
        N_("The DKIM record under %(name)s does not begin with v=DKIM1, so receivers pass it over."),
        N_("Let the record begin with v=DKIM1, written exactly so."),
    ),
    "dkim_kind": (
        N_("The DKIM record under %(name)s names another kind of key in k= than the one that signs."),
        N_("Publish the TXT record that newsletter doctor shows."),
    ),
    "dkim_service": (
        N_("The DKIM record under %(name)s is not meant for mail: its s= names something else."),
        N_("Remove s= from the record, or let it be s=email."),
    ),
    "dkim_hash": (
        N_("The DKIM record under %(name)s does not allow SHA-256 in h=, with which mails are signed."),
        N_("Remove h= from the record, or let it be h=sha256."),
    ),
    "dkim_fine": (
        N_("The DKIM record of %(domain)s belongs to the key that signs (%(selectors)s)."),
        NO_ADVICE,
    ),
    "dmarc_missing": (
        N_("There is no DMARC record: large mailbox providers then refuse newsletters."),
        N_("Publish a TXT record under %(name)s, such as: v=DMARC1; p=none"),
    ),
    "dmarc_unusable": (
        N_("The DMARC record under %(name)s names no policy."),
        N_("Begin with p=none, and go on to p=quarantine when all your mail passes."),
    ),
    "dmarc_unaligned": (
        N_("Mails are signed by %(signs)s and come from %(domain)s, which DMARC holds for two senders."),
        N_("Let NEWSLETTER_DKIM_DOMAIN be the domain of NEWSLETTER_SENDER_ADDRESS."),
    ),
    "dmarc_fine": (
        N_("The domain %(domain)s has a DMARC record (p=%(policy)s), and our mails agree with it."),
        NO_ADVICE,
    ),
    "ptr_left": (
        N_("Nobody has said which addresses mail leaves from, so their names are not checked."),
        N_("Set NEWSLETTER_MAIL_ADDRESSES if the mail server is your own; a relay sees to its own."),
    ),
    "ptr_missing": (
        N_("The address %(address)s, from which mail leaves, has no name in DNS (PTR)."),
        N_("Ask whoever gave you the address to set it to the mail server's name."),
    ),
    "ptr_differs": (
        N_("The address %(address)s calls itself %(name)s, and that name leads elsewhere."),
        N_("Let the name and the address point to each other."),
    ),
    "ptr_fine": (N_("The addresses that mail leaves from have their names: %(addresses)s"), NO_ADVICE),
    "ehlo_left": (
        N_("The name that is said to other mail servers is not compared with reverse DNS."),
        N_("Set NEWSLETTER_MAIL_ADDRESSES and NEWSLETTER_MAIL_EHLO_NAME if the mail server is your own."),
    ),
    "ehlo_elsewhere": (
        N_("The name that we say to mail servers, %(name)s, does not lead to %(addresses)s."),
        N_("Publish an address for the name, or correct NEWSLETTER_MAIL_EHLO_NAME."),
    ),
    "ehlo_differs": (
        N_("The name that we say to mail servers, %(name)s, is not the one in reverse DNS."),
        N_("Let NEWSLETTER_MAIL_EHLO_NAME be the name that the address has in DNS (PTR)."),
    ),
    "ehlo_fine": (N_("We say the name that reverse DNS has: %(name)s"), NO_ADVICE),
    "mx_missing": (
        N_("Nobody takes mail for %(domain)s: answers and bounces are lost."),
        N_("Publish an MX record for the domain, or choose another NEWSLETTER_SENDER_ADDRESS."),
    ),
    "mx_null": (
        N_("The domain %(domain)s says in DNS that it takes no mail: many servers refuse mail from it."),
        N_("Publish an MX record for the domain, or choose another NEWSLETTER_SENDER_ADDRESS."),
    ),
    "mx_fine": (N_("Mail to %(domain)s arrives somewhere."), NO_ADVICE),
    "tls_no_server": (N_("There is no mail server yet."), N_("Set NEWSLETTER_MAIL_SERVER.")),
    "tls_broken": (
        N_("The connection to the mail server cannot be encrypted: %(problem)s"),
        N_("The server needs a valid certificate for the name in NEWSLETTER_MAIL_SERVER."),
    ),
    "tls_no_login": (
        N_("A user name is set, and the mail server offers no login that we can use: %(problem)s"),
        N_(
            "Choose the port that is meant for sending: 587 with NEWSLETTER_MAIL_USE_TLS, or 465 with"
            " NEWSLETTER_MAIL_USE_SSL. Where no login is needed, remove NEWSLETTER_MAIL_USERNAME."
        ),
    ),
    "tls_unreachable": (
        N_("The mail server does not let us in: %(problem)s"),
        N_("Check NEWSLETTER_MAIL_SERVER, its port, user name and password."),
    ),
    "tls_missing": (
        N_("Mail goes to the mail server without encryption."),
        N_("Set NEWSLETTER_MAIL_USE_TLS, or NEWSLETTER_MAIL_USE_SSL where the server expects it at once."),
    ),
    "tls_here": (N_("The mail server is on this machine."), NO_ADVICE),
    "tls_fine": (N_("The connection to the mail server is encrypted (%(version)s)."), NO_ADVICE),
    "one_click_http": (
        N_("Unsubscribing with one click needs https, and the pages are at %(address)s"),
        N_("Set NEWSLETTER_BASE_URL to an address that begins with https://"),
    ),
    "one_click_nowhere": (
        N_("The name %(host)s, which the links in mails lead to, is not in DNS."),
        N_("Publish an address for it, or correct NEWSLETTER_BASE_URL."),
    ),
    "advice_missing": (
        N_("Not required, and worth having: %(missing)s"),
        N_(
            "rua= in the DMARC record brings reports, MTA-STS and TLS-RPT protect mail to you, and BIMI shows"
            " your logo beside your mails."
        ),
    ),
    "advice_fine": (
        N_("The domain %(domain)s has DMARC reports, MTA-STS, TLS-RPT and BIMI."),
        NO_ADVICE,
    ),
    "one_click_fine": (N_("The links to unsubscribe lead to %(host)s, over https."), NO_ADVICE),
}  # fmt: skip
