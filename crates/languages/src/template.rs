//! What new functions start from: the folders `templates/`, of a language and beside all of them.

use std::collections::BTreeSet;

use crate::language::Language;

/// Texts that end the manifest, say how to begin, and play as a test; every other file is the function's.
const TRIGGERS: &str = "triggers.toml";
const README: &str = "README.md";
const TEST: &str = "test.json";
/// What git should keep of no function.
const GITIGNORE: [&str; 4] = [".env", ".env.*", ".faas/dev/", ".faas/test/"];

/// One template of one language. Its texts have placeholders in double braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// The file of the code.
    pub file: String,
    /// What is called in it.
    pub symbol: String,
    /// The end of the manifest.
    pub triggers: String,
    /// How to begin.
    pub readme: String,
    /// An event file that the function passes.
    pub test: String,
    /// Files of the function, the code among them.
    pub files: Vec<TemplateFile>,
    /// What git should not keep.
    pub gitignore: String,
}

/// A file of a template: where it goes, and its text.
pub type TemplateFile = (String, String);

// === impl Template ===

impl Template {
    /// The names of the templates of any language.
    #[must_use]
    pub fn names() -> BTreeSet<&'static str> {
        Language::all().iter().flat_map(|language| language.init.symbols.keys()).map(String::as_str).collect()
    }

    /// What a template is for, where a description says it.
    #[must_use]
    pub fn about(name: &str) -> Option<&'static str> {
        Language::all().iter().find_map(|language| language.init.about.get(name)).map(String::as_str)
    }

    /// A language's template; `None` where it has none of that name.
    #[must_use]
    pub fn of(language: &Language, name: &str) -> Option<Self> {
        let symbol = language.init.symbols.get(name)?.clone();
        let mut files: Vec<TemplateFile> = language
            .folder
            .template(name)
            .into_iter()
            .map(|(path, content)| (path, String::from_utf8_lossy(&content).into_owned()))
            .collect();
        let mut taken = |wanted: &str| files.iter().position(|(path, _)| path == wanted).map(|at| files.remove(at).1);
        Some(Self {
            name: name.to_owned(),
            file: language.init.file.clone(),
            symbol,
            triggers: taken(TRIGGERS)?,
            readme: taken(README)?,
            test: taken(TEST)?,
            files,
            gitignore: lines(language.init.gitignore.iter().map(String::as_str).chain(GITIGNORE)),
        })
    }
}

// === impl Language ===

impl Language {
    /// A program and its arguments that print the version that is on the path, as JSON text.
    #[must_use]
    pub fn version_command(&self) -> Option<(&str, &[String])> {
        self.init.version.split_first().map(|(program, arguments)| (program.as_str(), arguments))
    }
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_that_a_description_names_is_whole() {
        for language in Language::all() {
            assert!(
                language.init.about.keys().all(|name| language.init.symbols.contains_key(name)),
                "{}",
                language.name
            );
            for name in language.init.symbols.keys() {
                let template = Template::of(language, name).unwrap_or_else(|| panic!("{} lacks {name}", language.name));
                assert!(template.files.iter().any(|(path, _)| *path == template.file), "{} {name}", language.name);
            }
            assert!(Template::of(language, "no-such").is_none());
        }
        assert!(Template::names().contains("http"));
    }
}
