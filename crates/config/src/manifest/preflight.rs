//! `[preflight]` and `path`: what is known of the files before they are uploaded.

use faas_preflight::AllowedSecret;
use faas_types::{Bundle, BundleFile, Digest};

use super::node::Node;
use super::reader::{Reader, Table};

/// Keys of `[preflight]`.
pub(super) const PREFLIGHT_KEYS: &[&str] = &["allow_secrets"];
/// Entries of `preflight.allow_secrets`.
pub(super) const ALLOWED_MAX: usize = 64;

/// False positives of the secret scan.
pub(super) fn allowed_secrets(reader: &mut Reader, node: &Node) -> Option<Vec<AllowedSecret>> {
    let table = reader.table("preflight", node)?;
    reader.refuse_unknown(&table, PREFLIGHT_KEYS);
    let node = table.get("allow_secrets")?;
    let field = "preflight.allow_secrets";
    let items = reader.list(field, node)?;
    if items.len() > ALLOWED_MAX {
        reader.problem(field, node.at, format!("`{field}` has more than {ALLOWED_MAX} entries; use patterns"));
        return None;
    }
    let mut allowed = Vec::with_capacity(items.len());
    for item in items {
        if let Some(text) = reader.text(field, item) {
            allowed.extend(reader.keep(field, item, text.parse::<AllowedSecret>()));
        }
    }
    Some(allowed)
}

/// The directory of the files, below the manifest's own.
pub(super) fn place(reader: &mut Reader, table: &Table<'_>) -> Option<String> {
    let node = table.get("path")?;
    let text = reader.text("path", node)?;
    let plain = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    if plain.is_empty() || plain == "." {
        return None;
    }
    // The rules are those of a file in an upload: relative, and never upwards.
    let file = BundleFile { path: plain.to_owned(), digest: Digest::from_bytes([0; 32]), size: 0, executable: false };
    if (Bundle { files: vec![file] }).validate().is_err() {
        reader.problem("path", node.at, "`path` must be a directory below the manifest, such as \"api\"");
        return None;
    }
    Some(plain.to_owned())
}
