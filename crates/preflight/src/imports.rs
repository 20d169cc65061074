//! Imports in source text, found by their looks: enough to tell people of a rule, not to hold back who wants to break it.

use std::sync::OnceLock;

use regex::Regex;

/// Where a file imports one of these modules: the offset, and the module's name as it is blocked.
pub(crate) fn blocked<'m>(path: &str, text: &str, modules: &'m [String]) -> Vec<(usize, &'m str)> {
    if modules.is_empty() {
        return Vec::new();
    }
    let named = |name: &str| modules.iter().find(|module| is_within(name, module)).map(String::as_str);
    let mut found = Vec::new();
    if path.ends_with(".py") {
        for groups in python().captures_iter(text) {
            let Some(list) = groups.get(1).or_else(|| groups.get(2)) else { continue };
            let mut at = list.start();
            for part in list.as_str().split(',') {
                let name = part.split_whitespace().next().unwrap_or_default();
                found.extend(named(name).map(|module| (at + part.len() - part.trim_start().len(), module)));
                at += part.len() + 1;
            }
        }
    } else if [".js", ".mjs", ".cjs", ".ts", ".mts"].iter().any(|end| path.ends_with(end)) {
        for groups in script().captures_iter(text) {
            found.extend(groups.get(1).and_then(|name| named(name.as_str()).map(|module| (name.start(), module))));
        }
    }
    found
}

/// `os.path` is within `os`, and `node:fs/promises` within `fs`.
fn is_within(name: &str, module: &str) -> bool {
    let plain = |text: &'_ str| text.strip_prefix("node:").unwrap_or(text).to_owned();
    let (name, module) = (plain(name), plain(module));
    name.strip_prefix(&module).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

fn python() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| {
        Regex::new(r"(?m)^[ \t]*(?:import[ \t]+([^\n#;]+)|from[ \t]+([\w.]+)[ \t]+import\b)").expect("constant")
    })
}

fn script() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| {
        Regex::new(r#"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]+)["']"#).expect("constant")
    })
}
