"""The use cases of curation, one file an act; `door` is the desk of one actor at one store."""
