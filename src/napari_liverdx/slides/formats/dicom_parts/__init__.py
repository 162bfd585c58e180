"""What a DICOM slide is made of: headers, frames, and the files that belong together."""
