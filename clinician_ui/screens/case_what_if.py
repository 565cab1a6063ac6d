"""What if: switch named concepts off and see the probabilities move. Only the tail of the network runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from clinician_ui import case_phrasing, phrasing
from clinician_ui.workplace import data_roots, image_folder
from pipeline.results.case import CaseContent
from pipeline.run.folder import RunFolder

if TYPE_CHECKING:
    from pipeline.explanation.cases.network import CaseNetwork, OpenImage


@st.fragment
def show(run: RunFolder, case: CaseContent, names: dict[str, str]) -> None:
    """Draw the switches; the network is loaded when they are first asked for."""
    st.html('<p class="dx-title">What if</p>')
    if case.part is None:
        st.caption(case_phrasing.NO_WHAT_IF)
        return
    if not st.toggle("Switch concepts off", key="what_if", help=case_phrasing.WHAT_IF_HELP):
        return
    off = st.pills(
        "Switched off",
        [concept.concept for concept in case.concepts],
        selection_mode="multi",
        format_func=names.__getitem__,
        key=f"what_if_{case.image_id}",
        wrap=True,
    )
    network = _network(str(run.path), run.file("model.safetensors").stat().st_mtime_ns)
    after = network.what_if(_opened(network, str(run.path), case.image_id), off)
    before = {entry.diagnosis: entry.probability for entry in case.differential}
    rows = "".join(
        f'<tr><th scope="row">{phrasing.html(names[diagnosis])}</th><td class="dx-number">{before[diagnosis]:.1%}</td>'
        f'<td><span class="dx-bar dx-wide"><i style="width:{100 * after[diagnosis]:.1f}%"></i></span></td>'
        f'<td class="dx-number">{after[diagnosis]:.1%}</td>'
        f'<td class="dx-number">{case_phrasing.change(after[diagnosis], before[diagnosis])}</td></tr>'
        for diagnosis in before
    )
    st.html(
        '<table class="dx-table"><thead><tr><th>diagnosis</th><th class="dx-number">as it is</th><th></th>'
        f'<th class="dx-number">then</th><th class="dx-number">change</th></tr></thead><tbody>{rows}</tbody></table>'
    )


@st.cache_resource(max_entries=2, show_spinner="Loading the network; this happens once")
def _network(path: str, _changed: int) -> "CaseNetwork":
    # torch is imported here and nowhere earlier, as the other screens do without it.
    from pipeline.explanation.cases.network import open_case_network

    return open_case_network(Path(path), roots=[image_folder(), *data_roots()])


@st.cache_resource(max_entries=32, show_spinner=False)
def _opened(_network: "CaseNetwork", path: str, image_id: str) -> "OpenImage":
    return _network.open_image(_network.decode(_network.path_of(image_id)))
