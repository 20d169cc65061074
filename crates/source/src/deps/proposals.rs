//! Asks a language model which package brings a module that no table knows. Off unless asked for.
//!
//! Only names of modules leave this machine, never code. What comes back is a proposal: a package is believed to exist when
//! the index knows it, and to be the right one when the deployment's check could import it.
//!
//! The protocol is that of OpenAI's chat completions, which local model servers speak as well.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_packages::PackageLookup;
use faas_terminal::failure::Failure;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

use crate::deps::{Report, Source};

const ENDPOINT: &str = "FAAS_LLM_ENDPOINT";
const MODEL: &str = "FAAS_LLM_MODEL";
const KEY: &str = "FAAS_LLM_KEY";
/// Models think for a while.
const PATIENCE: Duration = Duration::from_secs(120);
const MODULES_MAX: usize = 50;
/// The exit code for a server that cannot be reached.
const UNREACHABLE: u8 = 9;
const NAME_MAX: usize = 100;
const ANSWER_MAX: usize = 256 << 10;

/// Where to ask.
pub struct Advisor {
    completions: Url,
    model: String,
    key: Option<String>,
    /// Absent for a language whose packages are never guessed at.
    index: Option<Index>,
}

/// The index that has to agree.
struct Index {
    lookup: PackageLookup,
    url: Url,
}

// === impl Advisor ===

impl Advisor {
    /// The one that the environment names.
    ///
    /// # Errors
    /// When it names none, or not well.
    pub fn from_environment(lookup: Option<PackageLookup>) -> anyhow::Result<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let (Some(endpoint), Some(model)) = (set(ENDPOINT), set(MODEL)) else {
            return Err(Failure::usage(format!("no language model to ask: {ENDPOINT} and {MODEL} are not both set"))
                .with_hint(format!("such as {ENDPOINT}=http://127.0.0.1:11434/v1 {MODEL}=qwen3"))
                .into());
        };
        Ok(Self {
            completions: url(ENDPOINT, &endpoint, "chat/completions")?,
            model,
            key: set(KEY),
            index: lookup.map(|lookup| Index::new(lookup, set(lookup.variable).as_deref())).transpose()?,
        })
    }

    /// Asks for the missing modules that were only guessed at, and takes over what the index knows. Tells, for people, what
    /// became of each.
    ///
    /// # Errors
    /// When the model or the index cannot be reached, or answers something else.
    pub async fn improve(&self, report: &mut Report) -> anyhow::Result<Vec<String>> {
        let guessed = report.modules.iter().filter(|module| module.source == Source::Missing && module.is_guess);
        let names: Vec<String> =
            guessed.map(|module| module.module.clone()).filter(|name| is_module(name)).take(MODULES_MAX).collect();
        let Some(index) = self.index.as_ref().filter(|_| !names.is_empty()) else { return Ok(Vec::new()) };
        let proposals = self.ask(&names, &index.lookup).await?;
        let mut told = Vec::new();
        let Report { modules, declared, .. } = report;
        for module in modules.iter_mut().filter(|module| names.contains(&module.module)) {
            let name = &module.module;
            match proposals.get(name) {
                None => told.push(format!("{name}: nothing proposed")),
                Some(package) if !index.knows(&declared.canonical(package)).await? => {
                    told.push(format!("{name}: {package} was proposed, which the index does not have"));
                }
                Some(package) => {
                    told.push(format!("{name}: {package} is proposed, and the index has it"));
                    module.package = Some(package.clone());
                }
            }
        }
        Ok(told)
    }

    async fn ask(&self, modules: &[String], lookup: &PackageLookup) -> anyhow::Result<BTreeMap<String, String>> {
        let question = json!({
            "model": self.model,
            "temperature": 0,
            "messages": [
                { "role": "system", "content": task(lookup) },
                { "role": "user", "content": serde_json::to_string(modules)? },
            ],
        });
        let mut request = client(&self.completions)?.post(self.completions.clone()).json(&question);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| unreachable("the language model", ENDPOINT, &error))?;
        if !response.status().is_success() {
            let message = format!("the language model answered {}", response.status());
            return Err(Failure { message, exit: 1, ..Failure::default() }
                .with_hint(format!("look at {ENDPOINT} and {KEY}"))
                .into());
        }
        let answer: Value = serde_json::from_slice(&body(response).await?).map_err(|_| not_understood())?;
        let content = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        Ok(proposals(content.ok_or_else(not_understood)?).ok_or_else(not_understood)?)
    }
}

// === impl Index ===

impl Index {
    fn new(lookup: PackageLookup, named: Option<&str>) -> Result<Self, Failure> {
        let url = url(lookup.variable, named.unwrap_or(lookup.url), "")?;
        Ok(Self { lookup, url })
    }

    /// Whether the index has a package of this canonical name.
    async fn knows(&self, package: &str) -> anyhow::Result<bool> {
        let variable = self.lookup.variable;
        let page = self.url.join(&format!("{package}/"))?;
        let response = client(&page)?
            .get(page)
            .send()
            .await
            .map_err(|error| unreachable("the package index", variable, &error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => {
                let message = format!("the package index answered {status}");
                Err(Failure { message, exit: 1, ..Failure::default() }.with_hint(format!("look at {variable}")).into())
            }
        }
    }
}

fn task(lookup: &PackageLookup) -> String {
    let PackageLookup { language, index, .. } = lookup;
    format!(
        "You are given names of {language} modules. For each, name the package of {index} that installs it. Answer with one JSON \
         object from module to package and nothing else; null where you do not know."
    )
}

fn client(url: &Url) -> reqwest::Result<Client> {
    let builder = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::limited(3));
    let is_local =
        url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
    if is_local { builder.no_proxy().build() } else { builder.build() }
}

/// The URL of `below`. The message for an invalid one contains nothing that may be secret.
fn url(variable: &str, text: &str, below: &str) -> Result<Url, Failure> {
    let whole = format!("{}/{below}", text.trim().trim_end_matches('/'));
    let url = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Failure::usage(format!("{variable} is not a URL of http or https")))
}

async fn body(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unreachable("the language model", ENDPOINT, &error))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(not_understood().into());
        }
    }
    Ok(body)
}

/// The object in an answer, which may be wrapped in other words. Invalid names are left out.
fn proposals(content: &str) -> Option<BTreeMap<String, String>> {
    let object = content.get(content.find('{')?..=content.rfind('}')?)?;
    let object: BTreeMap<String, Value> = serde_json::from_str(object).ok()?;
    let named = object.into_iter().filter_map(|(module, package)| Some((module, package.as_str()?.to_owned())));
    Some(named.filter(|(_, package)| is_package(package)).collect())
}

fn is_module(name: &str) -> bool {
    name.len() <= NAME_MAX && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn is_package(name: &str) -> bool {
    let within = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let at_edge = |c: char| c.is_ascii_alphanumeric();
    name.len() <= NAME_MAX && name.chars().all(within) && name.starts_with(at_edge) && name.ends_with(at_edge)
}

fn not_understood() -> Failure {
    Failure { message: "the language model's answer cannot be used".into(), exit: 1, ..Failure::default() }
        .with_hint("ask again, or add the packages by hand")
}

fn unreachable(what: &str, variable: &str, error: &reqwest::Error) -> Failure {
    let why = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
    let failure = Failure { message: format!("{what} {why}"), exit: UNREACHABLE, ..Failure::default() };
    failure.with_hint(format!("look at {variable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_taken_out_of_an_answer() {
        let answer =
            "Sure!\n```json\n{\"a\": \"python-a\", \"b\": null, \"c\": \"x; rm -rf /\", \"d\": 7, \"e\": \"-r\"}\n```";
        assert_eq!(proposals(answer), Some(BTreeMap::from([("a".to_owned(), "python-a".to_owned())])));
        assert_eq!(proposals("I do not know."), None);
        assert_eq!(proposals("} {"), None);
    }

    #[test]
    fn only_names_are_asked_about() {
        assert!(is_module("google.cloud") && is_module("naïve"));
        assert!(!is_module("a secret = 'x'") && !is_module(&"a".repeat(101)));
    }
}
