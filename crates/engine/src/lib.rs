//! Decides: deploy, admit, place, scale, record.
