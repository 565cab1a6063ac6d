"""Sign in and out."""

import streamlit as st

from clinician_ui import account_phrasing, phrasing
from clinician_ui.components.sign_in_form.mount import sign_in_form, sign_out_form
from clinician_ui.workplace import Reader, has_single_sign_on

FAULTS = {"failed": account_phrasing.SIGN_IN_FAILED, "paused": account_phrasing.SIGN_IN_PAUSED}


def show(page: str) -> None:
    """Draw the sign-in, for someone who asked for a page.

    Args:
        page: Address of the page to return to.
    """
    _, middle, _ = st.columns([1, 1, 1])
    with middle, st.container(border=True):
        st.html(f'<h1 class="dx-title">Dermaxis</h1><p class="dx-quiet">{phrasing.html(account_phrasing.SIGN_IN)}</p>')
        fault = FAULTS.get(st.query_params.get("sign_in", ""))
        if fault:
            st.error(fault)
        if has_single_sign_on():
            _show_single_sign_on()
        sign_in_form(page)
        st.html(f'<p class="dx-quiet">{phrasing.html(phrasing.RESEARCH)}</p>')


def show_account(reader: Reader) -> None:
    """Show who is signed in, and the button to sign out."""
    with st.sidebar:
        roles = ", ".join(sorted(reader.account.roles))
        st.html(f'<p class="dx-title">{phrasing.html(reader.name)}</p><p class="dx-quiet">{phrasing.html(roles)}</p>')
        if has_single_sign_on() and st.user.is_logged_in:
            st.button("Sign out", on_click=st.logout)
        else:
            sign_out_form()
        st.html(f'<p class="dx-quiet">{phrasing.html(phrasing.RESEARCH)}</p>')


def _show_single_sign_on() -> None:
    if st.user.is_logged_in:
        st.warning(phrasing.markdown(account_phrasing.UNKNOWN_HERE))
        st.button("Sign out of the organisation", on_click=st.logout)
    else:
        st.button("Sign in with your organisation", type="primary", width="stretch", on_click=st.login)
