//! The head of a reply, as a sandbox sends it.

use faas_ports::ReplyHead;
use faas_proto::frame_heads;

/// A head from its JSON.
///
/// # Errors
/// What is wrong with it: shims check what handlers return, so this is a forged frame.
pub(crate) fn read(payload: &[u8]) -> Result<ReplyHead, &'static str> {
    let head: frame_heads::ReplyHeadFrame = serde_json::from_slice(payload).map_err(|_| "malformed reply head")?;
    if !(100..600).contains(&head.status) {
        return Err("reply status out of range");
    }
    if !head.headers.iter().all(|(name, value)| is_header(name, value)) {
        return Err("malformed reply header");
    }
    Ok(ReplyHead { status: head.status, headers: head.headers, length: head.length })
}

/// Whether a header field can go out as it is.
fn is_header(name: &str, value: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
    let is_text = |character: char| character <= '\u{ff}' && !matches!(character, '\r' | '\n' | '\0');
    !name.is_empty() && name.bytes().all(is_token) && value.chars().all(is_text)
}
