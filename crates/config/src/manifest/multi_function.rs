//! `[functions.NAME]`: several functions in one manifest, over what they share.

use faas_types::limits;

use super::keys::FUNCTIONS;
use super::node::{Key, Node, Value};
use super::problem::{ManifestErrors, ManifestProblem};
use super::reader::{Reader, shorten};
use super::{Manifest, fields, origins};

/// A function of several.
struct Whole {
    /// What is shared, under what it says itself.
    tree: Node,
    /// What it says itself.
    own: Node,
}

/// Every function of a manifest, by name; the manifest itself where it has no `functions`. `reader` has the problems that were
/// found on the way to the tree.
pub(super) fn read(source: &str, mut reader: Reader, root: &Node) -> Result<Vec<Manifest>, ManifestErrors> {
    let wholes = match &root.value {
        Value::Table(rows) if rows.iter().any(|(key, _)| key.text == FUNCTIONS) => split(&mut reader, root, rows),
        _ => vec![Whole { tree: root.clone(), own: root.clone() }],
    };
    let mut manifests = Vec::with_capacity(wholes.len());
    for Whole { tree, own } in &wholes {
        let Some(manifest) = fields::read(&mut reader, tree) else { continue };
        let mut origins = origins::origins(source, tree);
        origins::mark_shared(&mut origins, source, root, own);
        manifests.push(Manifest { origins, ..manifest });
    }
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| problem.at);
    // What is wrong with something shared is wrong with it once.
    let mut told: Vec<ManifestProblem> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    if !told.is_empty() || manifests.is_empty() {
        return Err(ManifestErrors { source: source.to_owned(), problems: told });
    }
    manifests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(manifests)
}

/// The functions one by one.
fn split(reader: &mut Reader, root: &Node, rows: &[(Key, Node)]) -> Vec<Whole> {
    let Some(functions) = rows.iter().find_map(|(key, node)| (key.text == FUNCTIONS).then_some(node)) else {
        return Vec::new();
    };
    let shared: Vec<(Key, Node)> = rows.iter().filter(|(key, _)| key.text != FUNCTIONS).cloned().collect();
    if let Some((key, _)) = shared.iter().find(|(key, _)| key.text == "name") {
        let message = "a manifest with `functions` has no `name`; each function's name is that of its table";
        reader.problem("name", key.at, message);
    }
    let Some(table) = reader.table(FUNCTIONS, functions) else { return Vec::new() };
    let named = table.rows();
    if !(1..=limits::GROUP_FUNCTIONS_MAX).contains(&named.len()) {
        let most = limits::GROUP_FUNCTIONS_MAX;
        reader.problem(FUNCTIONS, functions.at, format!("`functions` must have 1 to {most} functions"));
        return Vec::new();
    }
    let mut wholes = Vec::with_capacity(named.len());
    for (key, node) in named {
        let Some(own) = reader.table(&format!("{FUNCTIONS}.{}", shorten(&key.text)), node) else { continue };
        if let Some((name, _)) = own.rows().iter().find(|(row, _)| row.text == "name") {
            reader.problem("name", name.at, "the name of a function is that of its table; leave `name` out");
            continue;
        }
        let mut merged = merge(&shared, own.rows());
        let name = Node { value: Value::Text(key.text.clone()), at: key.at };
        merged.retain(|(row, _)| row.text != "name");
        merged.push((Key { text: "name".to_owned(), at: key.at }, name));
        let tree = Node { value: Value::Table(merged), at: node.at.or(root.at) };
        wholes.push(Whole { tree, own: node.clone() });
    }
    wholes
}

/// Rows over rows; tables of the same name become one, anything else is replaced.
fn merge(below: &[(Key, Node)], above: &[(Key, Node)]) -> Vec<(Key, Node)> {
    let mut merged = below.to_vec();
    for (key, node) in above {
        match merged.iter_mut().find(|(known, _)| known.text == key.text) {
            Some((known, under)) => {
                known.at = key.at;
                *under = match (&under.value, &node.value) {
                    (Value::Table(low), Value::Table(high)) => {
                        Node { value: Value::Table(merge(low, high)), at: node.at }
                    }
                    _ => node.clone(),
                };
            }
            None => merged.push((key.clone(), node.clone())),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::{ManifestErrors, syntax};
    use super::*;

    fn of(text: &str) -> Result<Vec<Manifest>, ManifestErrors> {
        read("faas.toml", Reader::default(), &syntax::from_toml("faas.toml", text)?)
    }

    #[test]
    fn functions_share_what_they_do_not_say() {
        let text = "runtime = 'python3.12'\ntimeout = '5s'\n[vars]\nA = '1'\nB = '2'\n\
                    [functions.web]\nentrypoint = 'web:app'\npath = './web/'\n[functions.web.vars]\nB = '3'\n\
                    [functions.api]\ntimeout = '9s'\n";
        let manifests = of(text).expect("good");
        let names: Vec<_> = manifests.iter().filter_map(|one| one.name.as_ref()).map(ToString::to_string).collect();
        assert_eq!(names, ["api", "web"]);
        let [api, web] = &manifests[..] else { panic!("two") };
        assert_eq!((api.settings.timeout.to_string(), web.settings.timeout.to_string()), ("9s".into(), "5s".into()));
        assert_eq!((web.path.as_deref(), api.path.as_deref()), (Some("web"), None));
        assert_eq!((&*web.settings.vars["A"], &*web.settings.vars["B"], &*api.settings.vars["B"]), ("1", "3", "2"));
        assert_eq!(web.settings.runtime.as_str(), "python3.12");
    }

    #[test]
    fn what_is_wrong_is_told_once_with_its_place() {
        let told = |text: &str| of(text).expect_err(text).lines().collect::<Vec<_>>();
        let shared = told("timeout = '1h'\n[functions.a]\n[functions.b]\n");
        assert_eq!(shared.len(), 1, "{shared:?}");
        assert!(shared[0].starts_with("faas.toml:1:11: "), "{shared:?}");
        assert!(told("name = 'x'\n[functions.a]\n")[0].contains("no `name`"));
        assert!(told("[functions.a]\nname = 'b'\n")[0].starts_with("faas.toml:2:1: the name of a function"));
        assert!(told("[functions.A_b]\n")[0].contains("not a valid function name"));
        assert!(told("[functions.a]\ntiemout = 3\n")[0].contains("did you mean `timeout`"));
        assert!(told("[functions.a.functions.b]\n")[0].contains("`functions`"));
        assert!(told("functions = {}\n")[0].contains("1 to 32"));
        for path in ["../x", "/etc", "a/../b"] {
            assert!(told(&format!("[functions.a]\npath = '{path}'\n"))[0].contains("below the manifest"), "{path}");
        }
        assert_eq!(of("name = 'a'").expect("one").len(), 1);
    }
}
