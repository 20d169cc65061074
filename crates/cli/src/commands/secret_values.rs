//! Values that look like secrets, where vars are set.

use std::collections::BTreeMap;

use faas_preflight::looks_secret;
use faas_terminal::failure::Failure;
use faas_types::{Code, Stage};

/// Refuses vars that look like keys: everybody who may see the function sees its vars.
pub(super) fn refuse_secrets(vars: &BTreeMap<String, String>, stage: Stage) -> Result<(), Failure> {
    let found: Vec<_> = vars.iter().filter_map(|(key, value)| Some((key, looks_secret(value)?))).collect();
    let Some((key, _)) = found.first() else { return Ok(()) };
    let of = if stage.is_default() { String::new() } else { format!(" --stage {stage}") };
    let mut failure = Failure::of(Code::InvalidConfiguration, "a value looks like a secret, and vars are not secret")
        .with_hint(format!(
            "faas secrets set {key}{of}, then set the var to '${{secrets.{key}}}'; or use --plain to set it as it is"
        ));
    failure.details = found.iter().map(|(key, what)| format!("{key}: {what}")).collect();
    Err(failure)
}
