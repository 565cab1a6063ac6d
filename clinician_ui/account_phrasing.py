"""What the sign-in and the screen of accounts say; in the manner of `clinician_ui.phrasing`."""

from collections.abc import Sequence

from concepts.curation.accounts import Account

SIGN_IN = "Sign in to judge. Every verdict is recorded under its reader's name."
SIGN_IN_FAILED = "The name or the password is wrong."
SIGN_IN_PAUSED = "Too many wrong passwords for this name. Wait half a minute and try again."
UNKNOWN_HERE = (
    "You are signed in with your organisation, but there is no account for your e-mail address here. Ask an admin to "
    "add it: dermaxis accounts add ADDRESS --role annotator"
)
NO_ROLE = "Your account has no role that opens a page here. Ask an admin for one."
ACCOUNT_NAME_HELP = "With single sign-on, the e-mail address that the organisation vouches for."


def denied(page: str, roles: str) -> str:
    """Say why a page cannot be opened."""
    return f"The page {page} needs a role that you do not have (yours: {roles or 'none'}). Ask an admin for it."


def account_state(account: Account) -> str:
    """Say whether someone can sign in with an account."""
    if account.disabled:
        return "disabled"
    return "can sign in" if account.can_sign_in else "no password"


def account_added(name: str) -> str:
    """Say that an account was added; its password follows."""
    return f"{name} was added. The password is shown only once; hand it over in person:"


def new_password(name: str) -> str:
    """Say that an account has a new password, which follows."""
    return f"{name} has a new password. It is shown only once; hand it over in person:"


def account_roles(name: str, roles: Sequence[str]) -> str:
    """Say which roles an account has from now on."""
    return f"{name} now has {'the roles ' + ', '.join(sorted(roles)) if roles else 'no role'}."


def account_disabled(name: str, *, disabled: bool) -> str:
    """Say whether an account is disabled from now on."""
    return f"{name} can no longer sign in; its judgements stay." if disabled else f"{name} can sign in again."
