"""What the tests of the whole program share with those of signing up."""

from tests.subscribers.conftest import finnish, sign_up

__all__ = ["finnish", "sign_up"]
