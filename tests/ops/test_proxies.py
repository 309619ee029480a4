"""The examples for nginx and Caddy: nginx itself takes its own, and both hide what is nobody's business."""

import os
import re
import shutil
import subprocess

import pytest

from newsletter.campaigns.content.pictures import MAX_UPLOAD_BYTES
from tests.support.missing import lacking
from tests.support.server import ROOT

NGINX = (ROOT / "ops" / "nginx.conf").read_text("utf-8")
CADDY = (ROOT / "ops" / "Caddyfile").read_text("utf-8")
PEM = ROOT / "tests" / "support" / "self_signed.pem"


@pytest.fixture
def nginx() -> str:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        lacking("There is no nginx here. On Debian: apt install nginx")
    return program


def test_nginx_takes_its_example(nginx, tmp_path):
    site = re.sub(r"/etc/ssl/news\.example/\w+\.pem", str(PEM), NGINX).replace(
        "/var/log/nginx", str(tmp_path)
    )
    site = re.sub(r"(listen (?:\[::\]:)?)(80|443)", r"\g<1>24\2", site)  # ports that anybody may open
    (tmp_path / "site.conf").write_text(site)
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
        f" http {{ access_log off; {folders} include {tmp_path}/site.conf; }}"
    )

    done = subprocess.run(
        [nginx, "-t", "-q", "-c", tmp_path / "nginx.conf", "-g", f"error_log {tmp_path}/start.log;"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@pytest.mark.parametrize("page", ["/metrics", "/readyz", "/mailbox"])
def test_what_is_for_the_machine_alone_is_hidden(page):
    assert re.search(rf"location (= |\^~ ){page} {{ return 404; }}", NGINX)
    (hidden,) = re.findall(r"@hidden path (.*)", CADDY)
    assert page in hidden.split()


def test_what_a_client_claims_of_itself_goes_no_further():
    """With PROXY_HOPS=1 the last word of each header is believed, so the proxy has to write it."""
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", NGINX))

    assert headers == {
        "Connection": '""',
        "Host": "$host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": "$host",
        "Forwarded": '""',
    }


def test_the_logs_of_the_proxy_tell_of_nobody():
    (form,) = re.findall(r"log_format newsletter '(.*)';", NGINX)

    assert not re.search(r"\$(remote_addr|request |request_uri|uri|args|http_|binary_remote)", form + " ")
    assert set(re.findall(r"error_log \S+ (\w+);", NGINX)) == {"crit"}
    assert not re.search(r"^\s*log\b", CADDY, re.MULTILINE)


def test_requests_are_read_whole_and_the_largest_of_ours_fits():
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", NGINX)

    assert int(megabytes) * 1_000_000 > MAX_UPLOAD_BYTES
    assert "proxy_request_buffering on;" in NGINX
    assert f"max_size {megabytes}MB" in CADDY
    assert "request_buffers" in CADDY


def test_braces_of_the_caddyfile_are_in_pairs():
    text = re.sub(r"#.*", "", CADDY)
    assert text.count("{") == text.count("}")


def test_logs_are_kept_no_longer_than_the_notice_says(app):
    days = app.config["NEWSLETTER"].keep_logs_days
    logrotate = (ROOT / "ops" / "logrotate.conf").read_text("utf-8")
    journald = (ROOT / "ops" / "journald.conf").read_text("utf-8")

    assert re.findall(r"^ +(?:rotate|maxage) (\d+)$", logrotate, re.MULTILINE) == [str(days)] * 2
    assert f"MaxRetentionSec={days}day" in journald
