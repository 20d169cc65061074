//! The configuration of a server that this process runs: read in one way for `faas up` and for private servers.

use std::path::PathBuf;

use faas_config::{ConfigError, Flags, ServerConfig, Sources, unknown_variables};

/// What says where a server is reached and where its state lives. A private server decides that itself, so that it never
/// meets the server of this machine.
const OWN: [&str; 3] = ["FAAS_LISTEN", "FAAS_DATA", "FAAS_PUBLIC_URL"];
/// The default log level of a private server.
const QUIET: &str = "error";

/// The configuration of `faas up`: defaults, the file, the environment, flags.
pub fn of_server(file: Option<PathBuf>, flags: Flags) -> Result<(ServerConfig, Sources), ConfigError> {
    read(file, |name| std::env::var(name).ok(), flags)
}

/// The same for a private server, whose flags say where it listens and lives.
pub fn of_private(file: Option<PathBuf>, flags: Flags) -> Result<ServerConfig, ConfigError> {
    let env = |name: &str| (!OWN.contains(&name)).then(|| std::env::var(name).ok()).flatten();
    let flags = flags.set("log.filter", env("FAAS_LOG").is_none().then_some(QUIET))?;
    let (mut config, _) = read(file, env, flags)?;
    config.http.public_url = None;
    Ok(config)
}

fn read(
    file: Option<PathBuf>,
    env: impl Fn(&str) -> Option<String>,
    flags: Flags,
) -> Result<(ServerConfig, Sources), ConfigError> {
    let file = file.or_else(|| env("FAAS_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    ServerConfig::load_with_sources(rustix::process::geteuid().is_root(), file.as_deref(), env, flags)
}

/// A line for each variable of the environment that looks like a setting and is not one.
pub fn unknown() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown_variables(names).into_iter().map(|unknown| {
        let meant = unknown.meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        format!("nothing reads the environment variable {}{meant}", unknown.name)
    })
}
