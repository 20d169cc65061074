//! Blocked imports. They are found by the looks of the source: enough to enforce a rule on those who do not mean to break it.

use faas_packages::{imported_modules, plain_module};

/// The imports of blocked modules in a file: the byte offset, and the module as it is blocked.
pub(crate) fn blocked<'m>(path: &str, text: &str, modules: &'m [String]) -> Vec<(usize, &'m str)> {
    if modules.is_empty() {
        return Vec::new();
    }
    let named = |name: &str| modules.iter().find(|module| is_within(name, module)).map(String::as_str);
    let imported = imported_modules(path, text).into_iter();
    imported.filter_map(|(at, name)| Some((at, named(name)?))).collect()
}

/// `os.path` is within `os`, and `node:fs/promises` within `fs`.
fn is_within(name: &str, module: &str) -> bool {
    let (name, module) = (plain_module(name), plain_module(module));
    name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}
