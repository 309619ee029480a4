"""What fetches pictures and links of newsletters in the real world, and what we take it for.

Names as their makers and the trade document them: Gmail's and Yahoo's picture proxies (their help
pages), Gmail's fetching ahead (SparkPost, 2021), Apple's Mail Privacy Protection (Validity, Litmus),
link scanners (Validity's and suped's lists of agents), programs (their own manuals).
"""

from newsletter.tracking.models import MachineClass

HUMAN, PROXY, SCANNER, BOT, SUSPECTED = (
    MachineClass.HUMAN, MachineClass.PROXY, MachineClass.SCANNER, MachineClass.BOT, MachineClass.APPLE_SUSPECTED,
)  # fmt: skip
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"

AGENTS: list[tuple[str, MachineClass]] = [
    # Picture proxies on behalf of a reader.
    ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", PROXY),
    ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", PROXY),
    ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", PROXY),
    (
        "Mozilla/5.0 (compatible; YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html)",
        PROXY,
    ),
    # Fetched ahead of any reader.
    ("Mozilla/5.0", SUSPECTED),
    (f"{_WINDOWS} {_WEBKIT} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0", SCANNER),
    # Mail programs.
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0", HUMAN),
    (
        "Mozilla/5.0 (Windows NT 10.0; WOW64; rv:102.0) Gecko/20100101 Thunderbird/102.15.1 Lightning/102",
        HUMAN,
    ),
    (
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/8.0; .NET4.0C; .NET4.0E; Microsoft Outlook 16.0.5056; ms-office; MSOffice 16)",
        HUMAN,
    ),
    ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", HUMAN),
    ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", HUMAN),
    ("Microsoft Office/15.0 (Windows NT 6.1; Microsoft Outlook 15.0.4420; Pro)", HUMAN),
    ("Outlook-Android/2.0", HUMAN),
    ("Outlook-iOS/711.2620504.prod.iphone (3.34.0)", HUMAN),
    (f"{_WINDOWS} {_WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", HUMAN),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", HUMAN),
    (_IPHONE + " Mobile/15E148", HUMAN),
    (
        "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        HUMAN,
    ),
    ("Mail/3826.300 CFNetwork/1568.300 Darwin/24.2.0", HUMAN),
    ("Airmail 5.7 (Mac OS X 14.5)", HUMAN),
    ("eM Client/9.2.2258 (Windows)", HUMAN),
    ("The Bat! 10.4", HUMAN),
    ("Evolution 3.52.3 (GTK)", HUMAN),
    ("Mozilla/5.0 (compatible; Konqueror/5.0; Linux) KHTML/5.0 (like Gecko) KMail/5.24", HUMAN),
    ("Spark/3.15 (Macintosh; Readdle)", HUMAN),
    # Browsers and telephones, where clicks end up.
    (f"{_WINDOWS} {_WEBKIT} Chrome/131.0.0.0 Safari/537.36", HUMAN),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", HUMAN),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
        HUMAN,
    ),
    (_IPHONE + " Version/18.1 Mobile/15E148 Safari/604.1", HUMAN),
    (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {_WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36", HUMAN),
    (
        f"Mozilla/5.0 (Linux; Android 13; SM-A536B) {_WEBKIT} SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
        HUMAN,
    ),
    (f"Mozilla/5.0 (Linux; Android 12; CUBOT X70) {_WEBKIT} Chrome/120.0.0.0 Mobile Safari/537.36", HUMAN),
    (f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} Chrome/131.0.0.0 Safari/537.36 OPR/115.0.0.0", HUMAN),
    (_IPHONE + " CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1", HUMAN),
    (_IPHONE + " GSA/343.0.695551749 Mobile/15E148 Safari/604.1", HUMAN),
    ("Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)", HUMAN),
    ("Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.3.1", HUMAN),
    ("", HUMAN),
    # Mail filters that say who they are.
    ("Barracuda Sentinel (EE)", SCANNER),
    ("BarracudaCentral/1.0 (link protection)", SCANNER),
    ("Mozilla/5.0 (compatible; Mimecast URL Protect)", SCANNER),
    ("Proofpoint-URLDefense/2.0", SCANNER),
    ("Mozilla/5.0 (compatible; proofpoint; +https://www.proofpoint.com)", SCANNER),
    ("CiscoSecureEmail/1.0", SCANNER),
    ("IronPort-URL-Scanner", SCANNER),
    ("TMES/1.0 URL scan", SCANNER),
    ("FortiMail-URL-Checker/7.4", SCANNER),
    ("Sophos Email Protection", SCANNER),
    ("Microsoft SafeLinks Scanner", SCANNER),
    ("Symantec.cloud Link Follower", SCANNER),
    ("Vade Secure Link Analyzer", SCANNER),
    ("Mozilla/5.0 (compatible; Hornetsecurity URL rewriting)", SCANNER),
    # Programs.
    ("curl/8.5.0", BOT),
    ("Wget/1.21.4", BOT),
    ("python-requests/2.32.3", BOT),
    ("Python-urllib/3.12", BOT),
    ("Python/3.12 aiohttp/3.10.5", BOT),
    ("Java/17.0.10", BOT),
    ("okhttp/4.12.0", BOT),
    ("Go-http-client/1.1", BOT),
    ("Apache-HttpClient/4.5.14 (Java/17.0.10)", BOT),
    ("Jetty/9.4.51.v20230217", BOT),
    ("lua-resty-http/0.17.1 (Lua) ngx_lua/10026", BOT),
    ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", BOT),
    ("axios/1.7.2", BOT),
    (f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} HeadlessChrome/131.0.0.0 Safari/537.36", BOT),
    (
        "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
        BOT,
    ),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", BOT),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", BOT),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", BOT),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", BOT),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", BOT),
    ("facebookexternalua", BOT),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com", BOT),
    ("Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots", BOT),
    ("TelegramBot (like TwitterBot)", BOT),
    ("WhatsApp/2.23.20.0", BOT),
    ("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", BOT),
    ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", BOT),
    ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)", BOT),
]
