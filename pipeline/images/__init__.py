"""Images: one reader for all formats, colour, DICOM."""
