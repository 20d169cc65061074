//! The argument that names a body.

use std::io::Read;

use anyhow::Context;
use faas_types::{Code, limits};

use crate::failure::{Failure, plain};
use crate::text;

/// Reads the body that an argument gives: text, `@FILE`, or `-` for standard input.
///
/// # Errors
/// It cannot be read, or is larger than a body may be.
pub fn read_body(argument: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = match argument.strip_prefix('@') {
        _ if argument == "-" => limited(std::io::stdin().lock(), "standard input")?,
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::usage(format!("cannot read {path}: {}", plain(&error))))?;
            limited(file, path)?
        }
        None => argument.as_bytes().to_vec(),
    };
    if bytes.len() as u64 > limits::BODY_MAX {
        let most = text::bytes(limits::BODY_MAX);
        return Err(Failure::of(Code::PayloadTooLarge, format!("the body is larger than {most}"))
            .with_hint("pass a reference to the data instead of the data itself")
            .into());
    }
    Ok(bytes)
}

/// Reads one byte more than a body may have, so that a body too large is seen and an endless one ends.
fn limited(reader: impl Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limits::BODY_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    Ok(bytes)
}
