"""Who is signed in: a random token in a cookie stands for an account until it expires."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

COOKIE = "dermaxis_session"
IDLE_SECONDS = 2 * 3600
LONGEST_SECONDS = 12 * 3600
FREE_FAILURES = 5
PAUSE_SECONDS = 30


@dataclass
class Session:
    """One sign-in.

    Attributes:
        account: Name of the account.
        opened: When it began, in seconds of the clock.
        used: When it was last used, in seconds of the clock.
    """

    account: str
    opened: float
    used: float


@dataclass
class Sessions:
    """The sign-ins of one server; they end with it.

    Attributes:
        clock: Gives seconds that never go back.
    """

    clock: Callable[[], float] = time.monotonic
    _open: dict[str, Session] = field(default_factory=dict, repr=False)
    _failures: dict[str, tuple[int, float]] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def open(self, account: str) -> str:
        """Sign an account in, and return the token that stands for it from now on."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            moment = self.clock()
            self._open = {key: session for key, session in self._open.items() if not self._is_over(session, moment)}
            self._open[_digest(token)] = Session(account, moment, moment)
            self._failures.pop(account, None)
        return token

    def account_of(self, token: str | None) -> str | None:
        """Return the account of a token; None where the token is unknown or has expired. Asking keeps it alive."""
        with self._lock:
            session = self._open.get(_digest(token or ""))
            if session is None or self._is_over(session, self.clock()):
                return None
            session.used = self.clock()
            return session.account

    def close(self, token: str | None) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_digest(token or ""), None)

    def failed(self, name: str) -> None:
        """Count a wrong password."""
        with self._lock:
            count, _ = self._failures.get(name, (0, 0.0))
            if len(self._failures) < 10_000 or name in self._failures:
                self._failures[name] = (count + 1, self.clock())

    def pause(self, name: str) -> float:
        """Return for how many seconds nobody may try this name, after too many wrong passwords."""
        with self._lock:
            count, last = self._failures.get(name, (0, 0.0))
            return max(0.0, last + PAUSE_SECONDS - self.clock()) if count >= FREE_FAILURES else 0.0

    @staticmethod
    def _is_over(session: Session, moment: float) -> bool:
        return moment - session.used > IDLE_SECONDS or moment - session.opened > LONGEST_SECONDS


SESSIONS = Sessions()
"""The sign-ins of this process: pages and routes share them."""


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
