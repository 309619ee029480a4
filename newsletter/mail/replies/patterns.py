"""The words by which servers say the same thing, in the languages they speak. Matched whatever the case."""

#: The mailbox takes no more mails for now, whichever number stands on it.
BUSY = (
    r"receiving (?:e?-?mails?|messages) (?:at a rate|too (?:quickly|fast))|"
    r"recipient (?:has )?exceeded (?:their|its|the) (?:limit|rate)|(?:thread|delivery) limit exceeded|"
    r"(?:mailbox|recipient|user|account) (?:is )?(?:currently |temporarily )?(?:busy|locked by another)|"
    r"messages? (?:rate|limit) .{0,30}(?:recipient|mailbox) .{0,20}exceeded|"
    r"(?:mailbox|account|user|recipient).{0,30}(?:temporarily|currently) (?:disabled|unavailable|suspended|"
    r"locked|inactive|over)|temporarily (?:disabled|inactive|suspended)|too many messages (?:for|to) this"
)
#: Only some may write there: the group's or mailbox's own rule.
CLOSED_GROUP = (
    r"AuthRequired|SenderNotAuthenticatedFor|NotAuthori[sz]ed(?:;|ForGroup|\b)|RestrictedToRecipients|"
    r"RST\.NotAuthorized|delivery restriction check|not authenticated when sending to this|"
    r"(?:group|list|alias) .{0,60}(?:only accepts|accepts? (?:mail|messages) only|may not exist, or you)|"
    r"(?:permission|allowed|authori[sz]ed|permitted) to (?:post|send|write) .{0,30}(?:group|list)|"
    r"only (?:members|subscribers|internal|authenticated) .{0,40}(?:post|send|allowed|accepted)|"
    r"(?:post|posting|posted|send|sent) .{0,30}(?:by|from) (?:members|subscribers) only|"
    r"(?:restricted|private|internal|closed) (?:group|list|distribution|mailing)|moderated|"
    r"recipient .{0,40}(?:internal (?:senders|use)|accepts? only|does not accept (?:external|outside))"
)
#: The person, or their program, does not want this mail.
PREFERENCE = (
    r"recipient(?:'?s)? (?:e?-?mail )?preferences?|(?:blocked|rejected|refused|denied) by (?:the )?"
    r"(?:recipient|user|addressee|owner)|"
    r"(?:recipient|user|addressee|owner) (?:has )?(?:blocked|blacklisted|blocklisted|chosen|opted|rejected|"
    r"refused|"
    r"declined|does(?:n'?t| not) (?:want|wish|accept))|(?:user|personal|recipient'?s?|individual) "
    r"(?:black|block|deny|reject).?list|not (?:on|in) (?:the )?(?:recipient|user)'?s? (?:white|safe|allow)|"
    r"blocked senders?|(?:mailbox|account) owner.{0,20}(?:block|refus|reject)|sieve|"
    r"message was automatically rejected"
)
#: We, or our account, send too much.
LIMIT = (
    r"daily .{0,40}(?:limit|quota|maximum)|(?:limit|quota) .{0,20}per (?:day|hour|minute)|rate.?limit|"
    r"too many (?:messages|connections?|recipients|e?-?mails|rcpts?|sessions|errors|invalid|hops? from you|"
    r"concurrent|simultaneous|transactions|unknown|bad)|(?:frequency|connection|traffic) (?:is )?limit|"
    r"throttl|(?:sending|send|submission|outgoing|outbound|hourly|message|smtp|relay|mail) "
    r"(?:rate|limit|quota)s? .{0,30}(?:exceed|reach)|exceeded .{0,25}(?:messages|e?-?mails|recipients|"
    r"connections|sending|hour|rate|defers)|(?:emails?|messages|recipients) per (?:hour|day|minute|message|"
    r"connection)|slow(?:ing)? down|(?:unusual|excessive|unexpected) (?:rate|volume|sending|activity|traffic|"
    r"number)|too (?:fast|frequent|much mail|quickly)|max(?:imum)? (?:number|defers|sending|recipients|"
    r"connections)|recipients? (?:limit|count)|unexpected volume|resources exceeded|domain size limit"
)
#: The server will not carry it.
RELAYING = (
    r"relay(?:ing)? .{0,24}(?:denied|prohibited|disallowed|forbidden|not (?:permitted|allowed|enabled))|"
    r"(?:denied|not permitted|not allowed|unable|refus\w+|won'?t|cannot|can'?t|do not|don'?t) (?:to )?relay|"
    r"relay(?:ing)? (?:access|not|mail|to |is )|rcpthosts|open relay|not (?:a )?gateway|"
    r"mail to .{0,60} (?:prohibited|not allowed) from"
)
LOGIN = (
    r"authentication (?:is )?(?:required|failed|failure|credentials|unsuccessful)|"
    r"(?:must|need to|please) (?:first )?(?:authenticate|log ?in|be authenticated|issue a? ?starttls)|"
    r"auth(?:enticate)? first|smtp auth|user(?:name)? and password|pop before smtp|"
    r"(?:encryption|tls|starttls) (?:is )?(?:required|needed)|must issue a starttls"
)
EHLO = (
    r"\b(?:helo|ehlo)\b.{0,60}(?:reject|invalid|bad|denied|refus|not|require|unknown|mismatch|fail|"
    r"fully|impersonat|forg|malformed|syntax)|(?:invalid|bad|forged|bogus|fully.qualified) .{0,20}"
    r"(?:\bhelo\b|\behlo\b|host ?name|greeting)|(?:reject|refus|don'?t like|do not like).{0,30}"
    r"\b(?:helo|ehlo)\b"
)
REVERSE = (
    r"reverse.?(?:dns|host|lookup|look-up|record|mapping|entry|resol|ip)|\bptr\b|\brdns\b|"
    r"cannot (?:find|resolve) your|(?:no|missing|invalid|bad|generic|dynamic) (?:dns|ptr|rdns)|"
    r"forward.confirmed|fcrdns|client host rejected|hostname .{0,40}(?:does not|doesn'?t) (?:match|resolve)"
)
#: The address we send from.
SENDER = (
    r"sender(?:'?s)? (?:e?-?mail )?(?:address|domain|mailbox|host|ip|id|identity|policy)\b|"
    r"sender .{0,30}(?:rejected|denied|refused|"
    r"unknown|invalid|blocked|not (?:allowed|accepted|found|verified|exist))|"
    r"(?:invalid|unknown|bad|unauthori[sz]ed|illegal|forged|unverified|denied|rejected) (?:envelope )?sender|"
    r"sender (?:verify|verification|call-?out|call-?back)|verif\w+ (?:failed )?(?:for|of|the) .{0,20}sender|"
    r"domain of (?:the )?sender|"
    r"from (?:address|domain|header) .{0,40}(?:not|invalid|reject|denied|must)|mail ?from .{0,40}"
    r"(?:reject|denied|invalid|refus|not|must|unresolv|fail)|envelope.?from|return.?path .{0,40}(?:not|"
    r"invalid|"
    r"reject)|invalid dns mx|not (?:verified|a verified)|identit\w+ (?:failed|not)|bad outbound sender"
)
#: Filters, lists, policies, reputations: said with whatever number, and beside whatever other words.
FILTER = (
    r"\bspam(?!cop)\w*(?!.{0,20}complaint rate is low)|spamcop|(?:black|block|deny) ?-?list|\brbl\b|dnsbl|"
    r"surbl|uribl|\bdbl\b|spamhaus|sorbs|barracuda|reputation|\bdmarc\b|\bspf\b|\bdkim\b|"
    r"unauthenticated|not authenticated|\bpolic(?:y|ies)\b|banned|\bblock(?:ed|ing)\b|bulk mail|"
    r"unsolicited|not authori[sz]ed|unauthori[sz]ed|access (?:is )?(?:denied|refused|forbidden)|\bvirus|"
    r"malware|phish|suspicious|infected|sender ?score|cloudmark|"
    r"content (?:filter\w*|reject\w*|den\w*|block\w*|violation|restrict\w*|scan\w*|is not|was not)|"
    r"administrative(?:ly)? (?:prohibit|denied|reject)|bloquee?|(?<!not )\blisted (?:at|in|on|by)\b"
)
#: The mail is turned away and nothing is said of the mailbox: looked for after what is.
TURNED_AWAY = (
    r"\bauthenticat\w+|prohibit|forbidden|complaints?\b|\babuse|security|not (?:permitted|allowed|welcome|"
    r"wanted)|administrator|(?:message|mail|e-?mail|content|transaction|connection)s? (?:was |has been |is |"
    r"not )?(?:content )?(?:rejected|refused|denied|declined|fail\w*|accepted|allowed|discarded)|"
    r"(?:mail|message|e-?mail)s? from|(?:reject|refus)\w* (?:the |this |your )?(?:mail|message|e-?mail|"
    r"connection|ip)|unwanted|whitelist|your ip|suspect|fraud|junk|bulk|"
    r"rejected (?:by|due|for|because)|delivery (?:not|is not) (?:allowed|authori[sz]ed)|bounce address"
)
#: Form and size of the mail.
SIZE = (
    r"(?:message|mail|content|body|data|header)s?(?: file)? (?:size )?(?:is )?(?:too (?:large|big|long)|"
    r"larger than|exceeds)|(?:message|mail) size|(?:max(?:imum)?|fixed|allowed|permitted) (?:message |mail )?"
    r"(?:size|length)|size (?:limit|exceed|restrict)|too (?:large|big) (?:a )?(?:message|mail)|SizeLimit|"
    r"message too|too (?:large|big)\b"
)
FORM = (
    r"malformed|\bmime\b|bare (?:lf|cr|newline)|line (?:is )?too long|8.?bit|illegal (?:character|header)|"
    r"(?:missing|invalid|duplicate|multiple|bad) .{0,20}(?:header|message-?id|date:|from:|to:)|"
    r"not (?:rfc|conform)|rfc ?\d+|attachment|file type|ConversionFailed|content.{0,20}(?:conver|"
    r"unsupported)|"
    r"header.{0,20}(?:too|missing|invalid)|smtputf8|non-?ascii|loop"
)
#: There is no such mailbox.
NOBODY = (
    r"(?:user|recipient|mailbox|account|address|addressee|alias|person|login|destinataire)s?"
    r"(?: (?:name|address|account|mailbox|id|e-?mail))?"
    r"[ :;,(]{0,3}(?:\S{1,80}[ :;,)]{1,3})?(?:is |are |was |does |did |do |has )?(?:an )?"
    r"(?:unknown|invalid|(?:not|n't) (?:be )?(?:found|exist\w*|known|valid|listed|recogni[sz]ed|defined|"
    r"local|"
    r"registered|present|have an? account)|non-?exist\w*|terminated|incorrect|undeliverable)|"
    r"(?:unknown|invalid|non-?existent|no such|nonexisting|undeliverable|bad|illegal|incorrect|not a valid|"
    r"unrecogni[sz]ed|wrong) "
    r"(?:or (?:invalid|illegal|unknown|inactive) )?(?:local.?part|e-?mail |destination )?"
    r"(?:user|recipients?|mail ?box|address(?:ee)?|alias|account|person|local.?part|login|e-?mail|id|name)\b|"
    r"(?:doesn'?t|does not|didn'?t|do not) (?:exist|have (?:an?|such an?|any) .{0,30}(?:account|mailbox))|"
    r"no (?:mail ?box|account|user|person|recipient|one) (?:here|by that|with (?:that|this)|of that|found|"
    r"exists|named|called|such)|nobody (?:here|by|of|with)|user not local|"
    r"(?:could|can|was|were|is|are)(?:n'?t| ?not) (?:be )?found(?! (?:in|on) (?:dns|spf))|wasn'?t found at|"
    r"recipientnotfound|recipnotfound|not listed in|isn'?t in (?:our|my) list|not our customer|"
    r"(?:there is|there'?s|have|has) no (?:such )?(?:user|mailbox|account|recipient|address|person|one)|"
    r"no such (?:person|customer|subscriber|local user|domain user)|unrout(?:e)?able address|"
    r"no longer (?:exists?|valid|accepts? mail|with us|works|here|in use|active)|mailbox unavailable|"
    r"unknown in (?:virtual|local|relay)|(?:address|user|recipient|mailbox) (?:has been |was |is )?"
    r"(?:deleted|removed|discontinued|terminated)|has (?:moved|left)(?:\b|,)|"
    r"unbekannt\w*|existiert nicht|nicht (?:gefunden|vorhanden|bekannt)|kein(?:en)? (?:benutzer|postfach|"
    r"empfänger)|inconnue?s?\b|n'existe (?:pas|plus)|destinataire invalide|adresse .{0,40}invalide|"
    r"ei (?:löydy|löytynyt|ole olemassa|tunneta)|tuntematon|okänd|finns (?:inte|ej)|existerar inte|"
    r"no existe|desconocid[oa]|sconosciut[oa]|inesistente|non (?:esiste|trovat[oa])|n[aã]o existe|"
    r"(?:не (?:найден|существует|зарегистрирован))|onbekend|bestaat niet|ukjent|ukendt|findes ikke|"
    r"nie istnieje|nieznany"
)
#: Mailboxes that were, and are not any more.
CLOSED = (
    r"(?:account|mail ?box|user|recipient|address|e-?mail|login).{0,40}(?:disabled|inactive|suspended|"
    r"deactivated|closed|expired|discontinued|cancell?ed|not (?:active|enabled)|retired|frozen|"
    r"no longer (?:available|active|in use|valid))|"
    r"(?:disabled|inactive|closed|suspended|deactivated) (?:mail ?box|account|recipient|user)|"
    r"DisabledUser|AccountDisabled|stillgelegt|deaktiviert|gesperrt|désactivée?|avstängd|suljettu"
)
NO_DOMAIN = (
    r"(?:host|domain)(?: or domain)?(?: name)?(?: \S{1,80})? (?:was |is |does |"
    r"could )?(?:not (?:be )?(?:found|"
    r"exist)|unknown|non-?exist\w*|invalid)|(?:no such|unknown|non-?exist\w*|invalid|couldn'?t find any|"
    r"unable to (?:find|resolve)|not a valid) (?:mail )?(?:host|domain)|nxdomain|NonExistentDomain|"
    r"no (?:valid )?(?:mx|mail exchangers?|a record|mail ?hosts?|mail servers?)\b|"
    r"(?:find|locate|resolve) the (?:recipient|destination) (?:domain|host)|"
    r"mx records? .{0,40}(?:non-?existent|invalid|missing)|unrouteable mail domain|name ?service error|"
    r"has no (?:mx|mail)|(?:domain|host).{0,60}(?:doesn'?t|does not|not) (?:exist|accept (?:e?-?mail|any))"
)
#: The mailbox holds no more.
FULL = (
    r"(?:mail ?box|mail ?folder|mailfolder|account|inbox|storage|user|recipient|disk|maildir|space|"
    r"boite|boîte)\b.{0,60}(?:\bfull\b|exceed|over.?quota|over (?:its |the |their )?(?:size|disk|storage|"
    r"allowed|limit)|out of (?:space|storage)|quota|pleine?)|over.?quota|quota (?:is |has been |was )?"
    r"(?:exceed|full|reach|viol)|exceed(?:s|ed|ing)?.{0,40}(?:quota|storage|mailbox)|"
    r"(?:insufficient|not enough|no) .{0,16}(?:storage|space)|\bis full\b|mailbox full|full mailbox|"
    r"quota.{0,20}(?:exceed|überschritten|dépass)|QuotaExceeded|postfach .{0,20}voll|pleine|täynnä|"
    r"(?:brevlåda\w*|inkorg\w*) .{0,20}full|llen[oa]\b|casella .{0,20}pien[ao]|переполнен|no space left"
)
