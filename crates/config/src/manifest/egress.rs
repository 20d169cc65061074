//! `[egress]`: what the function may connect to.

use std::fmt::Display;
use std::str::FromStr;

use faas_types::{ConnectionLog, EgressPolicy, EgressTarget, NetworkMode, limits};

use super::keys::EGRESS_KEYS;
use super::node::Value;
use super::reader::{Reader, Table};

/// The rules; `network` is what the manifest says of the network, `None` where that is wrong already.
pub(super) fn egress(reader: &mut Reader, root: &Table<'_>, network: Option<NetworkMode>) -> EgressPolicy {
    let Some(node) = root.get("egress") else { return EgressPolicy::default() };
    let says_network = root.get("network").is_some();
    if network != Some(NetworkMode::Egress) && (network.is_some() || !says_network) {
        let message = "`egress` needs network = \"egress\"; write that line too, or remove `egress`";
        reader.problem("egress", node.at, message);
    }
    let Some(table) = reader.table("egress", node) else { return EgressPolicy::default() };
    reader.refuse_unknown(&table, EGRESS_KEYS);
    let policy = EgressPolicy {
        allow: rules(reader, &table, "allow"),
        deny: rules(reader, &table, "deny").unwrap_or_default(),
        networks: list(reader, &table, "networks", limits::EGRESS_NETWORKS_MAX).unwrap_or_default(),
        log: log(reader, &table).unwrap_or_default(),
        ..EgressPolicy::default()
    };
    if let Some(node) = table.get("allow")
        && policy.networks.is_empty()
        && matches!(&node.value, Value::List(items) if items.is_empty())
    {
        let message = "`egress.allow` is empty, which lets nothing out; name hosts such as \"api.example.com:443\", leave it \
                       out for the public internet, or use network = \"none\"";
        reader.problem("egress.allow", node.at, message);
    }
    policy
}

fn log(reader: &mut Reader, table: &Table<'_>) -> Option<ConnectionLog> {
    let node = table.get("log")?;
    let path = table.path_of("log");
    let known = [ConnectionLog::Denied, ConnectionLog::All];
    let text = reader.text(&path, node)?;
    let found = known.into_iter().find(|one| one.as_str() == text);
    if found.is_none() {
        reader.problem(&*path, node.at, format!("`{path}` must be \"denied\" or \"all\", not \"{text}\""));
    }
    found
}

fn rules(reader: &mut Reader, table: &Table<'_>, key: &str) -> Option<Vec<EgressTarget>> {
    let rules: Vec<EgressTarget> = list(reader, table, key, limits::EGRESS_RULES_MAX)?;
    if let Some(own) = rules.iter().find(|rule| rule.host.is_loopback()) {
        let path = table.path_of(key);
        let message = format!("`{path}`: {} is the sandbox itself, which no rule is about; remove it", own.host);
        reader.problem(path, table.get(key).and_then(|node| node.at), message);
    }
    Some(rules)
}

fn list<T>(reader: &mut Reader, table: &Table<'_>, key: &str, most: usize) -> Option<Vec<T>>
where
    T: FromStr,
    T::Err: Display,
{
    let node = table.get(key)?;
    let path = table.path_of(key);
    let items = reader.list(&path, node)?;
    if items.len() > most {
        reader.problem(
            &*path,
            node.at,
            format!("`{path}` has more than {most} entries; put hosts together as networks or *.host"),
        );
        return None;
    }
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = reader.text(&path, item) else { continue };
        read.extend(reader.keep(&path, item, text.parse::<T>()));
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, fields, syntax};
    use super::*;

    fn read(text: &str) -> Result<EgressPolicy, Vec<String>> {
        let text = format!("name = \"a\"\n{text}");
        let root = syntax::from_toml("faas.toml", &text).expect("TOML");
        let mut reader = Reader::default();
        let manifest = fields::read(&mut reader, &root).expect("a table");
        let problems: Vec<String> = reader.problems.iter().map(|problem| problem.message.clone()).collect();
        if problems.is_empty() { Ok(manifest.settings.egress) } else { Err(problems) }
    }

    #[test]
    fn rules_are_read_and_come_back_from_json() {
        let rules = "network = \"egress\"\n[egress]\nallow = [\"api.stripe.com:443\", \"*.example.com\", \"10.1.0.0/16:5432\"]\n\
                     deny = [\"udp://0.0.0.0/0\"]\nnetworks = [\"db\"]\nlog = \"all\"";
        let policy = read(rules).expect("good rules");
        let allow: Vec<String> = policy.allow.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(allow, ["api.stripe.com:443", "*.example.com", "10.1.0.0/16:5432"]);
        assert_eq!(policy.log, ConnectionLog::All);
        assert_eq!((policy.deny[0].to_string().as_str(), policy.networks[0].as_str()), ("udp://0.0.0.0/0", "db"));
        let mut manifest = Manifest::from_toml("faas.toml", "name = \"a\"").expect("good");
        assert!(manifest.to_json().get("egress").is_none());
        (manifest.settings.network, manifest.settings.egress) = (NetworkMode::Egress, policy.clone());
        let json = manifest.to_json()["egress"].clone();
        let toml = toml::to_string(&serde_json::json!({ "network": "egress", "egress": json })).expect("TOML");
        assert_eq!(read(&toml), Ok(policy));
        assert_eq!(read("network = \"egress\""), Ok(EgressPolicy::default()));
        assert!(read("network = \"egress\"\n[egress]\nallow = []\nnetworks = [\"db\"]").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        let many = vec!["\"a.example\""; 257].join(",");
        for (text, word) in [
            ("[egress]\nallow = [\"a.example\"]", "needs network = \"egress\""),
            ("network = \"loopback\"\n[egress]", "needs network = \"egress\""),
            ("network = \"egress\"\negress = true", "must be a table"),
            ("network = \"egress\"\n[egress]\nallowed = []", "did you mean `egress.allow`"),
            ("network = \"egress\"\n[egress]\nallow = \"a.example\"", "must be a list"),
            ("network = \"egress\"\n[egress]\nlog = \"none\"", "`egress.log` must be \"denied\" or \"all\""),
            ("network = \"egress\"\n[egress]\nallow = []", "lets nothing out"),
            ("network = \"egress\"\n[egress]\nallow = [\"https://a.example/x\"]", "write a.example:443"),
            (
                "network = \"egress\"\n[egress]\ndeny = [\"a.example:0\"]",
                "`egress.deny`: `a.example:0` has no such port",
            ),
            ("network = \"egress\"\n[egress]\nallow = [\"localhost:5432\"]", "localhost is the sandbox itself"),
            ("network = \"egress\"\n[egress]\nallow = [\"127.0.0.1:5432\"]", "127.0.0.1 is the sandbox itself"),
            ("network = \"egress\"\n[egress]\ndeny = [\"::1\"]", "::1 is the sandbox itself"),
            ("network = \"egress\"\nallow = [\"a.example\"]", "unknown key `allow`; put it under [egress]"),
            ("network = \"egress\"\n[egress]\nprivate = [\"db\"]", "did you mean `egress.networks`"),
            ("network = \"egress\"\n[egress]\nnetworks = [\"Db\"]", "not a valid network name"),
            (&format!("network = \"egress\"\n[egress]\nallow = [{many}]"), "more than 256 entries"),
        ] {
            let problems = read(text).expect_err(text);
            assert!(problems.len() == 1 && problems[0].contains(word), "{text}: {problems:?}");
        }
    }
}
