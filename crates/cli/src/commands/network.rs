//! `faas network`

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use faas_client::rest::{
    EgressPolicyView, NetworkTestOutcome, NetworkTestView, NetworkView, TestNetwork, UpdateNetwork,
};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{ConnectionLog, EgressHost, EgressTarget, NetworkMode, NetworkName, PortRange, Transport};

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Show what a function may connect to, and what it has done
    Get(GetArgs),
    Set(SetArgs),
    /// Go back to what the function's manifest says
    Reset(ResetArgs),
    Test(TestArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas network get weather\n  faas network get weather -o json")]
pub(crate) struct GetArgs {
    /// The function's name
    name: String,
}

/// Change what a function may connect to, without a deployment
///
/// Running instances follow at once, and connections that are not allowed any more are closed. What no option names stays as it
/// is. The policy stands in place of what manifests say, also over deployments and rollbacks, until `faas network reset`.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The function's name
    name: String,
    /// A host that may be reached, such as api.stripe.com:443; the list replaces the one before
    #[arg(long, value_name = "RULE", value_delimiter = ',', conflicts_with_all = ["any", "nothing"])]
    allow: Vec<EgressTarget>,
    /// Allow the public internet, without a list
    #[arg(long, conflicts_with = "nothing")]
    any: bool,
    /// Allow nothing besides private networks; --no-networks shuts those too
    #[arg(long)]
    nothing: bool,
    /// A host that may not be reached; the list replaces the one before
    #[arg(long, value_name = "RULE", value_delimiter = ',', conflicts_with = "no_deny")]
    deny: Vec<EgressTarget>,
    /// Deny nothing
    #[arg(long)]
    no_deny: bool,
    /// A private network of the server's operator; the list replaces the one before
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', conflicts_with = "no_networks")]
    networks: Vec<NetworkName>,
    /// Reach no private network
    #[arg(long)]
    no_networks: bool,
    /// What the log shows: refused attempts, or also each connection when it ends
    #[arg(long, value_name = "WHAT")]
    log: Option<LogChoice>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogChoice {
    Denied,
    All,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  faas network reset weather")]
pub(crate) struct ResetArgs {
    /// The function's name
    name: String,
}

/// Try a connection as the function would make it; exits with 1 when it fails
///
/// The server looks the host up, decides by the function's policy and its own rules, and connects. Nothing is sent or read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  faas network test weather api.example.com:443\n  faas network test weather 10.1.0.5:53 --udp"
)]
pub(crate) struct TestArgs {
    /// The function's name
    name: String,
    /// The host and its port
    #[arg(value_name = "HOST:PORT")]
    target: EgressTarget,
    /// Use UDP, which sends nothing here: the answer says whether it might
    #[arg(long)]
    udp: bool,
}

const SET_EXAMPLES: &str = "\
Examples:
  faas network set weather --allow api.example.com:443,cdn.example.com
  faas network set weather --deny '*.evil.example'
  faas network set weather --nothing --no-networks
  faas network set weather --networks db
  faas network set weather --any --log all";

pub(crate) async fn run(command: NetworkCommand, session: &Session) -> anyhow::Result<ExitCode> {
    let client = session.client()?;
    match command {
        NetworkCommand::Get(GetArgs { name }) => {
            session.out.item(&client.network(&name).await?, network_table)?;
        }
        NetworkCommand::Set(args) => {
            let (name, shuts) = (args.name.clone(), args.nothing);
            let network = client.update_network(&name, &args.change()?).await?;
            session.out.item(&network, network_table)?;
            if let Some(open) = network.policy.map(|policy| policy.networks).filter(|open| shuts && !open.is_empty()) {
                let open = open.join(" ");
                session.out.note(format_args!("nothing besides private networks {open}; --no-networks shuts them too"));
            }
        }
        NetworkCommand::Reset(ResetArgs { name }) => {
            client.reset_network(&name).await?;
            session.out.remark(format!("the manifest's policy counts for {} again", text::visible(&name)));
        }
        NetworkCommand::Test(args) => {
            let result = client.test_network(&args.name, &args.wanted()?).await?;
            session.out.item(&result, test_table)?;
            if result.outcome != NetworkTestOutcome::Connected {
                return Ok(ExitCode::from(1));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

// === impl SetArgs ===

impl SetArgs {
    fn change(self) -> Result<UpdateNetwork, Failure> {
        fn texts<T: ToString>(list: &[T], is_cleared: bool) -> Option<Vec<String>> {
            (is_cleared || !list.is_empty()).then(|| list.iter().map(ToString::to_string).collect())
        }
        let allow = if self.any { Some(None) } else { texts(&self.allow, self.nothing).map(Some) };
        let change = UpdateNetwork {
            allow,
            deny: texts(&self.deny, self.no_deny),
            networks: texts(&self.networks, self.no_networks),
            log: self.log.map(|log| match log {
                LogChoice::Denied => ConnectionLog::Denied,
                LogChoice::All => ConnectionLog::All,
            }),
        };
        if change == UpdateNetwork::default() {
            return Err(Failure::usage(
                "nothing to change; name what to allow or deny, such as --allow api.example.com:443",
            ));
        }
        Ok(change)
    }
}

// === impl TestArgs ===

impl TestArgs {
    fn wanted(&self) -> Result<TestNetwork, Failure> {
        let host = match &self.target.host {
            EgressHost::Name(name) => name.clone(),
            EgressHost::Network { address, bits } if *bits == if address.is_ipv4() { 32 } else { 128 } => {
                address.to_string()
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{} is more than one host; name one, such as api.example.com:443",
                    self.target
                )));
            }
        };
        let shown = match &self.target.host {
            EgressHost::Network { address, .. } if address.is_ipv6() => format!("[{host}]"),
            _ => host.clone(),
        };
        let Some(PortRange { first: port, last }) = self.target.ports else {
            return Err(Failure::usage(format!("{host} has no port; write {shown}:443")));
        };
        if port != last {
            return Err(Failure::usage(format!(
                "{} is more than one port; name one, such as {shown}:{port}",
                self.target
            )));
        }
        let protocol = if self.udp { Transport::Udp } else { self.target.transport.unwrap_or(Transport::Tcp) };
        Ok(TestNetwork { host, port, protocol })
    }
}

fn network_table(network: &NetworkView) -> Table {
    let mut table = Table::of_properties();
    table.property("function", &network.function);
    let mode = match network.network {
        None => "nothing is deployed",
        Some(NetworkMode::None) => "none",
        Some(NetworkMode::Loopback) => "loopback",
        Some(NetworkMode::Egress) => "egress",
    };
    table.property("network", mode);
    if let Some(policy) = &network.policy {
        policy_rows(&mut table, policy);
        let source = match (&network.actor, &network.set_at) {
            (Some(by), Some(at)) => format!("set by {} {}, in place of the manifest's", by.name, text::when(at)),
            _ => "the manifest's".to_owned(),
        };
        table.property("policy", source);
    }
    if !network.granted.is_empty() {
        table.property("may ask for", network.granted.join(" "));
    }
    let usage = &network.usage;
    table.property("connections", format!("{}, {} open", usage.connections, usage.open));
    table.property("denied", usage.denied);
    table.property("sent", text::bytes(usage.sent_bytes));
    table.property("received", text::bytes(usage.received_bytes));
    table
}

fn policy_rows(table: &mut Table, policy: &EgressPolicyView) {
    let listed = |list: &[String]| if list.is_empty() { "nothing".to_owned() } else { list.join(" ") };
    table
        .property("allow", policy.allow.as_ref().map_or_else(|| "the public internet".to_owned(), |list| listed(list)));
    table.property("deny", listed(&policy.deny));
    if !policy.networks.is_empty() {
        table.property("networks", policy.networks.join(" "));
    }
    table.property("log", policy.log.as_str());
}

fn test_table(test: &NetworkTestView) -> Table {
    let mut table = Table::of_properties();
    let outcome = match test.outcome {
        NetworkTestOutcome::Connected if test.protocol == Transport::Udp => {
            "allowed; UDP has no connection, nothing was sent"
        }
        NetworkTestOutcome::Connected => "connected",
        NetworkTestOutcome::Denied => "denied",
        NetworkTestOutcome::NoAddress => "the name has no address of the public internet; others are not told",
        NetworkTestOutcome::LookUpFailed => "no name server answered",
        NetworkTestOutcome::Refused => "allowed, but the far end refused it",
        NetworkTestOutcome::Unreachable => "allowed, but no way leads there",
        NetworkTestOutcome::TimedOut => "allowed, but the far end did not answer",
    };
    let host = if test.host.contains(':') { format!("[{}]", test.host) } else { test.host.clone() };
    table.property("target", format!("{} to {host}:{}", test.protocol, test.port));
    table.property("result", outcome);
    table.property("rule", &test.decision.rule);
    if !test.decision.allowed {
        table.property("to allow it", &test.decision.key);
    }
    for each in &test.addresses {
        let word = if each.decision.allowed { "allowed" } else { "denied" };
        table.property("address", format!("{} {word}: {}", each.address, each.decision.rule));
    }
    table.maybe("look-up", test.look_up_ms.map(text::millis));
    table.maybe("connect", test.connect_ms.map(text::millis));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_target_can_be_typed() {
        for (text, fix) in [
            ("2001:db8::1", "write [2001:db8::1]:443"),
            ("[2001:db8::1]:80-90", "such as [2001:db8::1]:80"),
            ("192.0.2.7", "write 192.0.2.7:443"),
            ("api.example.com", "write api.example.com:443"),
        ] {
            let args = TestArgs { name: "weather".to_owned(), target: text.parse().expect(text), udp: false };
            let message = args.wanted().expect_err(text).message;
            assert!(message.ends_with(fix), "{text}: {message}");
        }
    }
}
