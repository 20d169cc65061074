//! `faas up`

use std::path::PathBuf;

use clap::Args;
use faas_config::{ConfigError, Flags, ListenAddress, LogFormat, ServerConfig, Sources, configuration_reference, dump};
use faas_devloop::server_settings;
use faas_terminal::failure::Failure;
use faas_terminal::output::Output;
use faas_types::{ByteSize, Span};

use crate::ServerCommands;

/// Start a server in the foreground
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Where to listen [default: 127.0.0.1:8080, env: FAAS_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<ListenAddress>,
    /// Where state lives [default: /var/lib/faas for root, ~/.local/share/faas for others, env: FAAS_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The public URL of this server, for function URLs [env: FAAS_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Start functions as plain processes where nothing better works; never for code of others
    #[arg(long)]
    unsafe_no_isolation: bool,
    /// An interpreter to offer besides those found; may be repeated [env: FAAS_INTERPRETERS]
    #[arg(long = "interpreter", value_name = "PATH")]
    interpreters: Vec<PathBuf>,
    /// How long to wait for calls under way when stopping [default: 30s, env: FAAS_DRAIN]
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// How long an instance may be idle before it is stopped [default: 5m, env: FAAS_IDLE]
    #[arg(long, value_name = "TIME")]
    idle: Option<Span>,
    /// Instances of all functions together [default: 1000, env: FAAS_INSTANCES_MAX]
    #[arg(long, value_name = "N")]
    instances_max: Option<u32>,
    /// Memory of all instances together [default: four fifths of the machine's, env: FAAS_MEMORY_MAX]
    #[arg(long, value_name = "SIZE")]
    memory_max: Option<ByteSize>,
    /// Started runtimes kept ready, for each runtime in use; 0 for none [default: 4, env: FAAS_PARKED]
    #[arg(long, value_name = "N")]
    parked: Option<u32>,
    /// How log lines look: text or json [default: text, env: FAAS_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or target=level pairs [default: info, env: FAAS_LOG]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// A configuration file in TOML; environment and flags win over it [env: FAAS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration with where each value comes from, as a TOML file, and start nothing
    #[arg(long)]
    dump_config: bool,
    /// Print the reference of every setting as Markdown, and start nothing
    #[arg(long, hide = true)]
    config_reference: bool,
}

const EXAMPLES: &str = "\
Examples:
  faas up
  faas up --listen 0.0.0.0:8080 --data /srv/faas --log-format json
  faas up --interpreter /opt/python3.13/bin/python3.13
  faas up --dump-config > server.toml";

// === impl UpArgs ===

impl UpArgs {
    fn into_config(self) -> anyhow::Result<(ServerConfig, Sources)> {
        let flags = Flags::default()
            .set("http.listen", self.listen.map(|ListenAddress(address)| address))?
            .set("http.public_url", self.public_url)?
            .set("store.data", self.data)?
            .set("sandbox.unsafe_no_isolation", self.unsafe_no_isolation.then_some(true))?
            .set("sandbox.interpreters", (!self.interpreters.is_empty()).then_some(self.interpreters))?
            .set("engine.drain", self.drain)?
            .set("engine.idle", self.idle)?
            .set("engine.instances_max", self.instances_max)?
            .set("engine.memory_max", self.memory_max)?
            .set("engine.parked", self.parked)?
            .set("log.format", self.log_format)?
            .set("log.filter", self.log)?;
        server_settings::of_server(self.config, flags).map_err(|error| {
            let hint = hint(&error);
            Failure::from_error(&error.into()).with_hint(hint).into()
        })
    }
}

/// The help lists options, the reference every key and variable.
fn hint(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::Unreadable { .. } => "see `faas up --help`",
        ConfigError::Invalid { .. } | ConfigError::Environment { .. } | ConfigError::OutOfRange { .. } => {
            "docs/configuration.md has every key, variable and option"
        }
    }
}

pub(crate) async fn run<S: ServerCommands>(args: UpArgs, server: &S, out: &Output) -> anyhow::Result<()> {
    if args.config_reference {
        return out.bytes(configuration_reference().as_bytes());
    }
    let is_dump = args.dump_config;
    let (config, sources) = args.into_config()?;
    if is_dump {
        return out.bytes(dump(&config, &sources).as_bytes());
    }
    server.up(config).await
}
