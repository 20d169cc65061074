//! What every command needs: the output and a client for the right server with the right key.

use faas_client::{ApiKey, Client, Connection, DEFAULT_ENDPOINT};

use crate::global_args::GlobalArgs;
use crate::output::{Output, Tone};
use crate::profile::Profile;

/// One run of the command line.
#[derive(Debug)]
pub struct Session {
    /// Where the command prints.
    pub out: Output,
    endpoint: Option<String>,
    /// The key of a server that this process hosts.
    key: Option<String>,
}

// === impl Session ===

impl Session {
    /// A session with the options of the command line.
    #[must_use]
    pub fn new(global: GlobalArgs, out: Output) -> Self {
        Self { out, endpoint: global.endpoint, key: None }
    }

    /// The same with a server that this process hosts, whatever environment and profile say.
    #[must_use]
    pub fn at(&self, endpoint: &str, key: &str) -> Self {
        Self { out: self.out.clone(), endpoint: Some(endpoint.to_owned()), key: Some(key.to_owned()) }
    }

    /// A client for `--endpoint`, `FAAS_ENDPOINT`, the profile's endpoint or the default one, in this order.
    pub fn client(&self) -> anyhow::Result<Client> {
        let (endpoint, key) = self.endpoint_and_key()?;
        let key = key.map(|text| ApiKey::new(&text)).transpose()?;
        Ok(Client::new(Connection::new(&endpoint, key)?)?)
    }

    /// Where [`client`](Self::client) goes, and with which key.
    pub fn endpoint_and_key(&self) -> anyhow::Result<(String, Option<String>)> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = self.endpoint.clone().or_else(|| set("FAAS_ENDPOINT"));
        let key = self.key.clone().or_else(|| set("FAAS_API_KEY"));
        // Both given: the profile does not matter, so a broken one must not stand in the way.
        let profile = if endpoint.is_some() && key.is_some() { Profile::default() } else { self.profile()? };
        Ok(choose(endpoint, key, &profile))
    }

    /// The key for one server: the environment's when that names this server, otherwise the profile's.
    pub fn key_of(&self, server: &str) -> anyhow::Result<Option<String>> {
        let (endpoint, key) = self.endpoint_and_key()?;
        if is_same(&endpoint, server) {
            return Ok(key);
        }
        Ok(choose(Some(server.to_owned()), None, &self.profile()?).1)
    }

    /// The server that `client` speaks to.
    pub fn endpoint(&self) -> anyhow::Result<String> {
        Ok(self.endpoint_and_key()?.0)
    }

    fn profile(&self) -> anyhow::Result<Profile> {
        let profile = Profile::load()?;
        if let Some(path) = Profile::path().filter(|path| Profile::is_exposed(path)) {
            let warning = self.out.on_stderr(Tone::Warning, "warning");
            let path = path.display();
            self.out.note(format_args!("{warning}: {path} holds keys and others can read it; run chmod 600 {path}"));
        }
        Ok(profile)
    }
}

/// The endpoint and its key. A profile's key goes to its own endpoint only.
fn choose(endpoint: Option<String>, key: Option<String>, profile: &Profile) -> (String, Option<String>) {
    let endpoint = endpoint.or_else(|| profile.endpoint.clone()).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let kept = profile.keys.iter().find(|(candidate, _)| is_same(candidate, &endpoint));
    let key = key.or_else(|| kept.map(|(_, key)| key.clone()));
    (endpoint, key)
}

/// Whether two URLs are of one server.
pub fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.trim().trim_end_matches('/').replace("//localhost:", "//127.0.0.1:");
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_stays_with_its_endpoint() {
        let mut profile = Profile { endpoint: Some("http://127.0.0.1:8080".into()), ..Profile::default() };
        profile.keys.insert("http://127.0.0.1:8080".into(), "k".into());
        let chosen = |endpoint: Option<&str>, key: Option<&str>| {
            choose(endpoint.map(str::to_owned), key.map(str::to_owned), &profile)
        };
        assert_eq!(chosen(None, None), ("http://127.0.0.1:8080".into(), Some("k".into())));
        assert_eq!(chosen(Some("http://localhost:8080/"), None).1.as_deref(), Some("k"));
        assert_eq!(chosen(Some("http://evil.example"), None).1, None);
        assert_eq!(chosen(None, Some("mine")).1.as_deref(), Some("mine"));
        assert_eq!(choose(None, None, &Profile::default()), (DEFAULT_ENDPOINT.into(), None));
    }
}
