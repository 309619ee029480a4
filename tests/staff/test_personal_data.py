"""Members of staff are people too: rule, copy and erasure of what is kept on them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from newsletter.db import Base, db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail import outbox
from newsletter.privacy.audit_log.action_labels import actor_label
from newsletter.privacy.deadlines import months_before
from newsletter.privacy.retention.daily import run_daily_jobs
from newsletter.privacy.retention.staff_accounts import clear_account, clear_old_accounts
from newsletter.staff import accounts
from newsletter.staff.accounts import (
    AccountCleared,
    close_account,
    create_password_reset,
    invite,
    reopen_account,
)
from newsletter.staff.models import Role, Staff, StaffInvitation, StaffPasskey, StaffReset, StaffSession
from newsletter.staff.personal_data import AccountOpen, export
from tests.staff.conftest import PASSWORD
from tests.support.apps import on_its_own
from tests.test_house import personal_columns

ADDRESS = "canary-address@kirjakauppa.example"
#: What only proves who logs in, or is made from it: of no use to anybody but a thief.
NOT_EXPORTED = {
    "staff.password",
    "staff.totp_secret",
    "staff.recovery_hashes",
    "staff.passkey_handle",
    "staff_passkeys.public_key",
}
#: Texts in the tables of staff that say nothing of who somebody is.
IMPERSONAL = {
    "staff.fs_uniquifier",
    "staff.lists",
    "staff.role",
    "staff_invitations.lists",
    "staff_invitations.role",
    "staff_invitations.token_hash",
    "staff_resets.token_hash",
    "staff_sessions.token_hash",
}
TABLES = (StaffPasskey, StaffInvitation, StaffReset, StaffSession)


@pytest.fixture
def canary(app, make_staff, now):
    """A colleague with a canary in every personal column, who has done something."""
    account = make_staff(
        ADDRESS,
        Role.EDITOR,
        totp_secret="canary-totp",
        totp_counter=7,
        recovery_hashes=["canary-hash"],
        passkey_handle="canary-handle",
        openid_subject="canary-subject",
        lists=["uutiset"],
    )
    account.password = "canary-password"
    invite(Role.EDITOR, address="canary-other@kirjakauppa.example", now=now, actor=f"staff:{account.id}")
    db.session.add_all([
        StaffInvitation(
            token_hash="a", address=ADDRESS, role=Role.EDITOR, created_at=now, expires_at=now, used_at=now
        ),
        StaffPasskey(
            staff_id=account.id, credential="canary-credential", public_key=b"canary-key", sign_count=0,
            name="canary-name", created_at=now,
        ),
        StaffSession(
            token_hash="b", staff_id=account.id, network="canary-network", agent="canary-agent",
            started_at=now, seen_at=now, proved_at=now,
        ),
    ])  # fmt: skip
    create_password_reset(account, now=now, actor="console")
    db.session.commit()
    return account


def canaries() -> dict[str, set[str]]:
    """Return what stands in every column of staff that has a canary in it."""
    found: dict[str, set[str]] = {}
    for table in Base.metadata.tables.values():
        for row in db.session.execute(sa.select(table)).mappings():
            for name, value in row.items():
                if "canary" in str(value) and "canary-other" not in str(value):
                    found.setdefault(f"{table.name}.{name}", set()).add(str(value))
    db.session.rollback()
    return found


def shut(account: Staff, now) -> None:
    close_account(account, now=now, actor="staff:1")
    db.session.commit()


def test_the_canary_sits_in_every_personal_column_of_staff(canary):
    assert personal_columns(of_staff=True) - set(canaries()) == set()


def test_no_text_about_staff_is_without_a_rule():
    """A new column of staff is personal, or stands in the list above."""
    texts = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        if table.name.startswith("staff")
        for column in table.columns
        if isinstance(column.type, sa.String | sa.JSON | sa.LargeBinary)
    }

    assert texts - personal_columns(of_staff=True) == IMPERSONAL


def test_everything_is_in_the_copy_but_what_proves_who_logs_in(canary):
    copy = json.dumps(export(canary), ensure_ascii=False)

    missing = {name for name, values in canaries().items() if not any(value in copy for value in values)}
    assert missing == NOT_EXPORTED
    assert [act["action"] for act in export(canary)["acts"]] == ["staff invited", "password reset asked for"]


def test_clearing_empties_every_personal_column_and_leaves_the_number(real_app, canary, now):
    number = canary.id
    shut(canary, now)

    clear_account(canary, now=now, actor="staff:1")

    assert canaries() == {}
    assert [
        db.session.query(table).filter_by(staff_id=number).count()
        for table in TABLES
        if table is not StaffInvitation
    ] == [0, 0, 0]
    assert (canary.email, canary.cleared_at, actor_label(f"staff:{number}")) == (
        f"staff:{number}", now, f"staff:{number}",
    )  # fmt: skip
    last = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (last.action, last.object, last.about) == ("staff account cleared", f"staff:{number}", None)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_no_file_keeps_anything_of_a_cleared_account(real_app, canary, now):
    outbox.enqueue("staff_changed", to=ADDRESS, language="fi", now=now, context={"what": "canary-what"})
    on_its_own(real_app, outbox.deliver_due)
    outbox.enqueue("staff_changed", to=ADDRESS, language="fi", now=now, context={"what": "canary-what"})
    shut(canary, now)

    def files() -> list[str]:
        paths = [path for path in Path(real_app.instance_path).rglob("*") if path.is_file()]
        return [path.name for path in paths if b"canary-" in path.read_bytes().replace(b"canary-other", b"")]

    before = len(files())
    clear_account(canary, now=now, actor="staff:1")

    assert (before > 0, files()) == (True, [])


def test_an_open_account_is_not_cleared(canary, now):
    with pytest.raises(AccountOpen):
        clear_account(canary, now=now, actor="staff:1")

    assert canary.email == ADDRESS


def test_what_has_been_cleared_is_not_opened_again(real_app, canary, client, submit, now):
    shut(canary, now)
    clear_account(canary, now=now, actor="staff:1")

    with pytest.raises(AccountCleared):
        reopen_account(canary, now=now, actor="staff:1")
    answers = [submit("/staff/login", email=email, password="") for email in (ADDRESS, canary.email)]

    assert [answer.status_code for answer in answers] == [200, 200]  # the form again


def test_an_account_is_cleared_when_no_act_in_the_log_is_its_own(app, canary, make_staff, now):
    """Closed and kept as long as the log; opened again, the time begins anew."""
    kept, back = make_staff("kept@kirjakauppa.example"), make_staff("back@kirjakauppa.example")
    long_ago = months_before(now, 24) - timedelta(seconds=1)
    for account, at in ((canary, long_ago), (back, long_ago), (kept, long_ago + timedelta(seconds=2))):
        close_account(account, now=at, actor="staff:1")
    reopen_account(back, now=now, actor="staff:1")
    db.session.commit()

    cleared = [clear_old_accounts(now) for _time in range(2)]

    assert cleared == [1, 0]
    assert (canary.cleared_at, kept.cleared_at, back.closed_at) == (now, None, None)


def test_the_daily_clock_clears_accounts_and_forgets_links_that_are_over(app, canary, make_app, now):
    shut(canary, now - timedelta(days=800))
    invite(Role.VIEWER, address="uusi@kirjakauppa.example", now=now, actor="console")
    db.session.commit()

    run_daily_jobs(now + timedelta(minutes=90))

    assert canary.cleared_at == now + timedelta(minutes=90)
    assert sorted(db.session.scalars(sa.select(StaffInvitation.address))) == [
        "canary-other@kirjakauppa.example",
        "uusi@kirjakauppa.example",
    ]
    run_daily_jobs(now + timedelta(days=1, minutes=90))
    assert db.session.scalars(sa.select(StaffInvitation.address)).all() == []


def test_a_copy_of_ones_own_data_is_a_button_away(client, enter, submit):
    me = enter(role=Role.VIEWER)

    answer = submit("/staff/account/", to="/staff/account/copy")

    assert answer.headers["Content-Disposition"] == 'attachment; filename="account.json"'
    assert (answer.json["account"]["address"], answer.json["sessions"][0]["browser"]) == (me.email, "pytest")
    assert PASSWORD not in answer.text
    assert answer.json["acts"][-1]["action"] == "own data copied"


def test_an_administrator_clears_a_closed_account(real_app, client, enter, submit, canary, now):
    enter(role=Role.ADMIN)
    page = f"/staff/accounts/{canary.id}"
    too_early = submit(page, to=f"{page}/clear")
    shut(canary, now)

    answer = submit(page, to=f"{page}/clear")

    assert (too_early.status_code, answer.location) == (422, "/staff/accounts/")
    db.session.refresh(canary)
    assert canary.email == f"staff:{canary.id}"
    assert ADDRESS not in client.get("/staff/accounts/?lang=fi").text
    assert "ei enää kerro" in client.get(f"{page}?lang=fi").text


def test_the_command_line_does_both(real_app, canary, tmp_path, now):
    def call(*words: str):
        return on_its_own(real_app, lambda: real_app.test_cli_runner().invoke(args=["privacy", *words]))

    file = tmp_path / "copy.json"
    copied = call("access-staff", ADDRESS, "--out", str(file))
    lost = call("access-staff", ADDRESS, "--out", str(tmp_path / "nowhere" / "copy.json"))
    refused = call("erase-staff", ADDRESS)
    shut(canary, now)
    done = call("erase-staff", ADDRESS, "--json")
    gone = call("access-staff", ADDRESS, "--out", str(file))

    assert json.loads(file.read_text(encoding="utf-8"))["account"]["address"] == ADDRESS
    assert [answer.exit_code for answer in (copied, refused, done, gone)] == [0, 1, 0, 1]
    assert (lost.exit_code, lost.stderr.splitlines()) == (
        1, [f"Error: Could not open file '{tmp_path / 'nowhere' / 'copy.json'}': No such file or directory"],
    )  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(done.stdout) == {"account": f"staff:{canary.id}"}
    assert accounts.list_accounts() == []
