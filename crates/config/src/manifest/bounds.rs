//! `[limits]` and `[cache]`.

use faas_types::{Allowance, ByteSize, CacheSettings, CacheShare, Span, limits};

use super::node::{Node, Value};
use super::reader::{Reader, Table};

/// Keys of `[limits]`.
const LIMIT_KEYS: &[&str] = &["tmp", "pids"];
/// Keys of `[cache]`.
const CACHE_KEYS: &[&str] = &["ttl", "entry_max", "share"];

/// What an instance may use besides memory and CPU.
pub(super) fn allowance(reader: &mut Reader, node: &Node) -> Option<Allowance> {
    let table = reader.table("limits", node)?;
    reader.refuse_unknown(&table, LIMIT_KEYS);
    let defaults = Allowance::default();
    let (fewest, most) = limits::PIDS_RANGE;
    Some(Allowance {
        tmp: size(reader, &table, "tmp", limits::TMP_RANGE, "64MB").unwrap_or(defaults.tmp),
        pids: reader.count(&table, "pids", fewest, most).unwrap_or(defaults.pids),
    })
}

/// How answers are kept. The table alone turns keeping on, for answers that say how long they hold.
pub(super) fn cache(reader: &mut Reader, node: &Node) -> Option<CacheSettings> {
    let table = reader.table("cache", node)?;
    reader.refuse_unknown(&table, CACHE_KEYS);
    let defaults = CacheSettings::default();
    let range = (ByteSize::from_bytes(1), ByteSize::from_bytes(limits::BODY_MAX));
    let words = [("declared", CacheShare::Declared), ("project", CacheShare::Project)];
    Some(CacheSettings {
        ttl: ttl(reader, &table).unwrap_or(defaults.ttl),
        entry_max: size(reader, &table, "entry_max", range, "1MB").unwrap_or(defaults.entry_max),
        share: reader.one_of(&table, "share", &words).unwrap_or_default(),
    })
}

fn ttl(reader: &mut Reader, table: &Table<'_>) -> Option<Span> {
    let node = table.get("ttl")?;
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000)).map(Span::from_millis),
        Value::Float(_) => None,
        _ => {
            let text = reader.text("cache.ttl", node)?;
            Some(reader.keep("cache.ttl", node, text.parse::<Span>())?)
        }
    };
    let is_whole = |span: &Span| span.get() <= limits::CACHE_TTL_MAX && span.get().subsec_nanos() == 0;
    let span = span.filter(is_whole);
    if span.is_none() {
        reader.problem("cache.ttl", node.at, "`cache.ttl` must be whole seconds up to 24h, such as \"60s\"");
    }
    span
}

fn size(
    reader: &mut Reader,
    table: &Table<'_>,
    key: &str,
    (least, most): (ByteSize, ByteSize),
    example: &str,
) -> Option<ByteSize> {
    let node = table.get(key)?;
    let path = table.path_of(key);
    let size = match &node.value {
        Value::Int(bytes) => u64::try_from(*bytes).ok().map(ByteSize::from_bytes),
        Value::Float(_) => None,
        _ => {
            let text = reader.text(&path, node)?;
            Some(reader.keep(&path, node, text.parse::<ByteSize>())?)
        }
    };
    let size = size.filter(|size| (least..=most).contains(size));
    if size.is_none() {
        let message = format!("`{path}` must be between {least} and {most}, such as \"{example}\"");
        reader.problem(path, node.at, message);
    }
    size
}
