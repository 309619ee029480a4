"""What the tests of figures share; sending and logging in are as elsewhere."""

from tests.staff.conftest import log_in, make_staff, submit
from tests.tracking.conftest import send

__all__ = ["log_in", "make_staff", "send", "submit"]
