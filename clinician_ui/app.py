"""The labelling tool, as Streamlit runs it."""

from clinician_ui.router import main

main()
