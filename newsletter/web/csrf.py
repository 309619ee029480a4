"""The CSRF protection of forms. A blueprint whose authority is a token in the address is exempt."""

from flask_wtf import CSRFProtect

csrf = CSRFProtect()
