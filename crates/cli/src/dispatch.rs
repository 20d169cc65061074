//! Runs the command that a command line names.

use std::process::ExitCode;

use clap::CommandFactory;
use faas_devloop::{dev, test};
use faas_terminal::session::Session;

use crate::ServerCommands;
use crate::args::{Cli, Command};
use crate::commands::{
    aliases, api, cache, callbacks, completion, dead_letters, deploy, deployments, deps, doctor, environments, events,
    explain, functions, gc, git, init, invoke, keys, layers, login, logs, network, pending, profiles, rollback,
    rollouts, runs, secrets, settings, status, topics, triggers, up, upload_policy, validate, vars, version, versions,
};

/// Runs a command. An error still has to be printed; an exit code says all.
pub(crate) async fn dispatch<S: ServerCommands>(
    command: Command,
    session: &Session,
    server: &S,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => Box::pin(up::run(args, server, &session.out)).await?,
        Command::Doctor(_) => return Box::pin(doctor::run(session, server)).await,
        Command::Init(args) => init::run(&args, session)?,
        Command::Dev(args) => Box::pin(dev::run(args, session, server)).await?,
        Command::Test(args) => return Box::pin(test::run(args, session, server)).await,
        Command::Validate(args) => validate::run(args, session).await?,
        Command::Deploy(args) => Box::pin(deploy::run(args, session)).await?,
        Command::Deps(args) => deps::run(&args, session).await?,
        Command::Functions(command) => return Box::pin(functions::run(command, session, server)).await,
        Command::Rollback(args) => rollback::run(args, session).await?,
        Command::Aliases(command) => aliases::run(command, session).await?,
        Command::Versions(command) => versions::run(command, session).await?,
        Command::Deployments(command) => deployments::run(command, session).await?,
        Command::Rollouts(command) => rollouts::run(command, session).await?,
        Command::Invoke(args) => return Box::pin(invoke::run(args, session, server)).await,
        Command::Runs(args) => return Box::pin(runs::run(args, session)).await,
        Command::DeadLetters(command) => Box::pin(dead_letters::run(command, session)).await?,
        Command::Logs(args) => Box::pin(logs::run(args, session)).await?,
        Command::Vars(command) => return Box::pin(vars::run(command, session)).await,
        Command::Network(command) => return Box::pin(network::run(command, session)).await,
        Command::Secrets(command) => Box::pin(secrets::run(command, session)).await?,
        Command::Triggers(command) => return Box::pin(triggers::run(command, session)).await,
        Command::Events(command) => events::run(command, session).await?,
        Command::Topics(command) => topics::run(command, session).await?,
        Command::Login(args) => Box::pin(login::login(args, session)).await?,
        Command::Logout(args) => login::logout(args, session)?,
        Command::Whoami(_) => login::whoami(session).await?,
        Command::Profiles(command) => profiles::run(command, session)?,
        Command::Api(args) => return api::run(args, session).await,
        Command::Layers(command) => Box::pin(layers::run(command, session)).await?,
        Command::Keys(command) => keys::run(command, session).await?,
        Command::Cache(command) => cache::run(command, session).await?,
        Command::Callbacks(command) => callbacks::run(command, session).await?,
        Command::Settings(command) => settings::run(command, session).await?,
        Command::UploadPolicy(command) => upload_policy::run(command, session).await?,
        Command::Git(command) => git::run(command, session)?,
        Command::Execute(_) => return Err(pending::refuse("execute")),
        Command::Executions(_) => return Err(pending::refuse("executions")),
        Command::Sandboxes(_) => return Err(pending::refuse("sandboxes")),
        Command::Environments(command) => return Box::pin(environments::run(command, session)).await,
        Command::Snapshots(_) => return Err(pending::refuse("snapshots")),
        Command::Explain(args) => explain::run(&args, session)?,
        Command::Completion(args) => completion::run(&args, Cli::command(), session)?,
        Command::Gc(args) => gc::run(args, session).await?,
        Command::Status(_) => status::run(session).await?,
        Command::Version(_) => version::run(session)?,
    }
    Ok(ExitCode::SUCCESS)
}
