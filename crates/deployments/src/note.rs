//! Notes that authors leave with a deployment, a move of an alias or a layer.

use faas_types::{Code, Fault, limits};

pub(crate) fn check_note(note: Option<&str>) -> Result<(), Fault> {
    match note {
        Some(note) if note.len() > limits::NOTE_MAX => Err(Fault::new(
            Code::InvalidConfiguration,
            format!("the note has {} bytes, more than {}", note.len(), limits::NOTE_MAX),
        )),
        _ => Ok(()),
    }
}
