//! How source is looked at on a developer's machine, where nothing of it is run: the section `[source]`.

use serde::Deserialize;

use crate::folder::ScriptCall;

/// How source of a language is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTools {
    /// Programs that may be on the developer's path, the best first. One with `{version}` needs a runtime with a version.
    pub interpreters: Vec<String>,
    /// Variables of the environment that change what they do, and that they start without.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Finds errors of syntax, and the names in a file.
    pub check: Option<SourceCheck>,
    /// Which files can be imported.
    pub modules: Option<ModuleRules>,
}

/// A program that reads files without running them.
///
/// It reads lines of `path here`, a tab, and `path in the bundle` from standard input, the entrypoint's first, and prints
/// `{"errors": […], "names": […] | null}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceCheck {
    /// How it is run; `{version}` is that of the function's runtime. It fails where the interpreter is too old.
    pub run: ScriptCall,
    /// The version for a runtime without one.
    pub version: String,
}

/// Which files can be imported under their name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleRules {
    /// Modules that are part of the runtime's program: no file of the same name is ever imported.
    pub builtin: Vec<String>,
    /// What leads into a directory, in the name of a module.
    pub separator: char,
}

// === impl SourceTools ===

impl SourceTools {
    /// The programs to try for a runtime of this version.
    pub fn interpreters<'s>(&'s self, version: Option<&'s str>) -> impl Iterator<Item = String> + 's {
        self.interpreters.iter().filter_map(move |name| match version {
            Some(version) => Some(name.replace("{version}", version)),
            None => (!name.contains("{version}")).then(|| name.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_version_is_tried_for_a_version_alone() {
        let interpreters = vec!["ruby{version}".to_owned(), "ruby".to_owned()];
        let tools = SourceTools { interpreters, unset: Vec::new(), check: None, modules: None };
        assert_eq!(tools.interpreters(Some("3.4")).collect::<Vec<_>>(), ["ruby3.4", "ruby"]);
        assert_eq!(tools.interpreters(None).collect::<Vec<_>>(), ["ruby"]);
    }
}
