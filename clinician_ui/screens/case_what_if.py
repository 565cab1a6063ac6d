"""What if: switch named concepts off and see the probabilities move at once. Only the network's tail runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from clinician_ui import phrasing
from pipeline.results.case import CaseContent
from pipeline.run.folder import RunFolder

if TYPE_CHECKING:
    from pipeline.explanation.cases.network import CaseNetwork, OpenImage


@st.fragment
def show(run: RunFolder, case: CaseContent, names: dict[str, str]) -> None:
    """Draw the switches; the network is loaded when they are first asked for."""
    st.html('<p class="dx-title">What if</p>')
    if case.part is None:
        st.caption(phrasing.NO_WHAT_IF)
        return
    if not st.toggle("Switch concepts off", key="what_if", help=phrasing.WHAT_IF_HELP):
        return
    off = st.pills(
        "Switched off",
        [one.concept for one in case.concepts],
        selection_mode="multi",
        format_func=names.__getitem__,
        key=f"what_if_{case.image_id}",
        wrap=True,
    )
    network = _network(str(run.path), run.file("model.safetensors").stat().st_mtime_ns)
    found = network.what_if(_opened(network, str(run.path), case.image_id), off)
    before = {one.diagnosis: one.probability for one in case.differential}
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(names[one])}</th><td class="dx-number">{before[one]:.1%}</td>'
        f'<td><span class="dx-bar dx-wide"><i style="width:{100 * found[one]:.1f}%"></i></span></td>'
        f'<td class="dx-number">{found[one]:.1%}</td><td class="dx-number">{phrasing.change(found[one], before[one])}'
        "</td></tr>"
        for one in before
    )
    st.html(
        '<table class="dx-table"><thead><tr><th>diagnosis</th><th class="dx-number">as it is</th><th></th>'
        f'<th class="dx-number">then</th><th class="dx-number">change</th></tr></thead><tbody>{rows}</tbody></table>'
    )


@st.cache_resource(max_entries=2, show_spinner="Loading the network, once")
def _network(path: str, _changed: int) -> "CaseNetwork":
    # torch is imported here and nowhere earlier: the other screens do without it.
    from pipeline.explanation.cases.network import CaseNetwork

    return CaseNetwork(Path(path))


@st.cache_resource(max_entries=32, show_spinner=False)
def _opened(_network: "CaseNetwork", path: str, image_id: str) -> "OpenImage":
    return _network.open_image(_network.decode(_network.path_of(image_id)))
