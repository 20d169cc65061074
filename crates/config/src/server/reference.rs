//! The reference of a server's settings and its configuration as a file, both made from the list of settings.

use std::fmt::Write;

use super::settings::{OPTIONS, Setting, SettingKind, settings};
use super::{ServerConfig, Sources};

const HEAD: &str = "\
# Configuration

*Generated from the code by `faas up --config-reference`.*

A server takes its settings, the later the stronger, from defaults, a TOML file (`--config FILE` or `FAAS_CONFIG`), the environment and
options of `faas up`. A key `engine.drain` stands in the file as `drain` below `[engine]`. `faas up --dump-config` prints the
configuration that a server would run with, and where each value comes from.

An unknown key in the file is an error. A variable `FAAS_…` that no setting has is warned of, with the one that was probably meant.
Relative paths of the file start from its directory, others from the current one. Lists have commas between their parts in the
environment, and paths have colons. A duration is a number with `ms`, `s`, `m`, `h` or `d`; a size one with `KB`, `MB`, `GB` or `TB`
(powers of 1024).
";

/// `docs/configuration.md`: every setting with its key, variable, option, default and meaning.
#[must_use]
pub fn configuration_reference() -> String {
    let defaults = serde_json::to_value(ServerConfig::default()).unwrap_or_default();
    let mut page = HEAD.to_owned();
    let mut section = "";
    for setting in settings() {
        let (own, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
        if own != section {
            section = own;
            let _ =
                write!(page, "\n## `[{own}]`\n\n| key | environment, option | value | default | what it decides |\n");
            page += "|---|---|---|---|---|\n";
        }
        let value = defaults.pointer(&format!("/{}", setting.key.replace('.', "/")));
        let default = shown_default(&setting.key, value.unwrap_or(&serde_json::Value::Null));
        let (ways, doc) = (ways(setting), setting.doc.replace('|', "\\|"));
        let _ = writeln!(page, "| `{name}` | {ways} | {} | {default} | {doc} |", kind(&setting.kind));
    }
    page
}

/// A configuration as a TOML file that gives it again, with where each value comes from. Credentials are left out.
#[must_use]
pub fn dump(config: &ServerConfig, sources: &Sources) -> String {
    let sections = toml::Table::try_from(config).unwrap_or_default();
    let mut text = String::new();
    let mut section = "";
    for setting in settings() {
        let (own, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
        if own != section {
            section = own;
            let _ = writeln!(text, "{}[{own}]", if text.is_empty() { "" } else { "\n" });
        }
        let source = sources.of(&setting.key).unwrap_or_else(|| "default".to_owned());
        let value = name.split('.').try_fold(sections.get(own), |table, key| Some(table?.get(key))).flatten();
        let _ = match value.map(inline) {
            Some(value) => writeln!(text, "{name} = {value} # {source}"),
            None => writeln!(text, "# {name} is not set"),
        };
    }
    text
}

/// A value on one line, tables too.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let parts: Vec<_> = table.iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect();
            if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
        }
        other => other.to_string(),
    }
}

fn ways(setting: &Setting) -> String {
    let option = OPTIONS.iter().find(|(key, _)| *key == setting.key).map(|(_, option)| *option);
    let ways: Vec<_> = setting.env.as_deref().into_iter().chain(option).map(|way| format!("`{way}`")).collect();
    if ways.is_empty() { "the file alone".to_owned() } else { ways.join(", ") }
}

fn kind(kind: &SettingKind) -> String {
    match kind {
        SettingKind::Switch => "`true` or `false`".to_owned(),
        SettingKind::Number => "number".to_owned(),
        SettingKind::Text(form) => form.clone(),
        SettingKind::List(form, _) => format!("list: {form}"),
        SettingKind::Table => "table".to_owned(),
    }
}

/// What is used where nothing is set. Some defaults depend on the machine.
fn shown_default(key: &str, value: &serde_json::Value) -> String {
    match (key, value) {
        ("store.data", _) => "`/var/lib/faas` for root, else `$XDG_DATA_HOME/faas` or `~/.local/share/faas`".to_owned(),
        ("engine.memory_max", _) => "four fifths of the machine's".to_owned(),
        ("http.public_url", _) => "`http://` and `listen`".to_owned(),
        (_, serde_json::Value::Null) => "none".to_owned(),
        (_, serde_json::Value::Array(list)) if list.is_empty() => "none".to_owned(),
        (_, serde_json::Value::Object(table)) if table.is_empty() => "none".to_owned(),
        (_, serde_json::Value::String(text)) => format!("`{text}`"),
        (_, other) => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::*;

    #[test]
    fn the_page_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let written = std::fs::read_to_string(path).expect("docs/configuration.md");
        let generated = configuration_reference();
        assert!(written == generated, "run `faas up --config-reference > docs/configuration.md`");
    }

    #[test]
    fn what_is_dumped_gives_the_same_configuration() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = |name: &str| match name {
            "FAAS_EGRESS_DENY" => Some("*.evil.example, udp://0.0.0.0/0".to_owned()),
            "FAAS_EGRESS_PROXY" => Some("socks5://10.0.0.9:1080".to_owned()),
            "FAAS_EGRESS_SOURCE_ADDRESS" => Some("203.0.113.7".to_owned()),
            "FAAS_BUILD_INDEXES_PYPI" => Some("https://ci:s3cret@pkgs.internal/simple".to_owned()),
            "FAAS_MEMORY_MAX" => Some("8GB".to_owned()),
            "FAAS_DATA" => Some("/srv/faas".to_owned()),
            _ => None,
        };
        let file = dir.path().join("first.toml");
        std::fs::write(&file, "[egress.networks]\ndb = [\"10.1.0.5:5432\"]\n").expect("written");
        let (mut config, sources) =
            ServerConfig::load_with_sources(false, Some(&file), env, Flags::default()).expect("good layers");
        let text = dump(&config, &sources);
        assert!(text.contains("memory_max = \"8GB\" # environment variable FAAS_MEMORY_MAX"), "{text}");
        assert!(text.contains("drain = \"30s\" # default") && !text.contains("s3cret"), "{text}");
        assert!(text.contains("# public_url is not set"), "{text}");
        let again = dir.path().join("again.toml");
        std::fs::write(&again, &text).expect("written");
        let mut read = ServerConfig::load(false, Some(&again), |_| None, Flags::default()).expect("a good file");
        // Credentials are not shown.
        config.build.indexes.clear();
        read.build.indexes.clear();
        assert_eq!(read, config, "{text}");
    }
}
