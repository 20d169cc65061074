//! What a Node bundle asks for: `package.json` with the lock of npm, pnpm, Yarn or Bun.
//!
//! Whatever program keeps the lock, npm installs: from the lock of another one a `package-lock.json` is made, which puts
//! every package where each import finds the version that the lock means. So there is one installer to trust, hashes are
//! checked in one place, and functions share a layer though their authors use different programs.

mod berry;
mod bun;
mod graph;
mod layout;
mod npm;
mod plan;
mod pnpm;
mod project;
#[cfg(test)]
mod tests;
mod yaml;
mod yarn;

use std::collections::{BTreeMap, BTreeSet};

use faas_types::{Fault, limits};
use serde_json::{Map, Value, json};

use super::{Asked, Request, Sources, refused, shown};
use graph::Wrong;
use plan::Plan;
use project::Project;

const PACKAGE: &str = "package.json";
/// What the installer is given.
const LOCK: &str = "package-lock.json";
/// What else the builder is told.
const ORDERS: &str = "build.json";
/// Bun's lock that is no text, with what makes one that is.
const BINARY: (&str, &str) = ("bun.lockb", "bun install --save-text-lockfile --frozen-lockfile --lockfile-only");
/// Lock files, the stronger first where one program has two.
const LOCKS: [(&str, Keeper); 5] = [
    ("npm-shrinkwrap.json", Keeper::Npm),
    (LOCK, Keeper::Npm),
    ("pnpm-lock.yaml", Keeper::Pnpm),
    ("yarn.lock", Keeper::Yarn),
    ("bun.lock", Keeper::Bun),
];

/// A program that keeps a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

/// The files that npm reads, and what is to be known of the packages.
struct Order {
    package: Value,
    lock: Value,
    /// Names of the packages in the lock.
    names: BTreeSet<String>,
    /// Places of packages whose platform the registry must tell.
    unknown: Vec<String>,
}

/// The packages that a bundle's files ask for; of those in `scripts` the install scripts run.
pub(super) async fn asked(sources: &Sources<'_>, scripts: &[String]) -> Result<Asked, Fault> {
    let Some(text) = sources.text(PACKAGE).await? else { return Ok(Asked::Nothing) };
    let project = Project { table: table(PACKAGE, &text)? };
    if project.wanted().map_err(|wrong| fault(PACKAGE, &wrong))?.is_empty() {
        return Ok(Asked::Nothing);
    }
    let Some((name, keeper)) = chosen(&project, |name| sources.has(name))? else {
        return Ok(Asked::Unreadable(format!(
            "there is no {LOCK}, so the packages of {PACKAGE} are not installed; make a {LOCK} with: npm install \
             --package-lock-only"
        )));
    };
    if project.table.contains_key("workspaces") {
        return Err(refused(PACKAGE, "has workspaces, which a bundle cannot have"));
    }
    let lock = sources.text_within(name, limits::LOCK_MAX).await?.unwrap_or_default();
    let trusted: Vec<String> = project.trusted().map(str::to_owned).collect();
    let order = keeper.order(&lock, project).map_err(|wrong| fault(name, &wrong))?;
    let mut files = BTreeMap::from([(PACKAGE, order.package.to_string()), (LOCK, order.lock.to_string())]);
    let scripts = running(&trusted, scripts, &order.names, name)?;
    if !scripts.is_empty() || !order.unknown.is_empty() {
        files.insert(ORDERS, json!({ "scripts": scripts, "unknown": order.unknown }).to_string());
    }
    let files = files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    Ok(Asked::Packages(Request { source: name.to_owned(), root: LOCK.to_owned(), files }))
}

/// The lock that counts: the one of the program in `packageManager`, or the only one.
fn chosen(project: &Project, has: impl Fn(&str) -> bool) -> Result<Option<(&'static str, Keeper)>, Fault> {
    let there: Vec<(&str, Keeper)> = LOCKS.into_iter().filter(|(name, _)| has(name)).collect();
    let Some(first) = there.first() else {
        let (name, command) = BINARY;
        return if has(name) {
            Err(refused(name, &format!("is not text; make a bun.lock with: {command}")))
        } else {
            Ok(None)
        };
    };
    let named = project.manager().and_then(|manager| there.iter().find(|(_, keeper)| keeper.name() == manager));
    if let Some(named) = named {
        return Ok(Some(*named));
    }
    match there.iter().find(|(_, keeper)| *keeper != first.1) {
        Some((other, _)) => {
            let why =
                format!("and {other} are both there; remove one, or name the program in `packageManager` of {PACKAGE}");
            Err(refused(first.0, &why))
        }
        None => Ok(Some(*first)),
    }
}

/// Packages whose install scripts run: those of the manifest, which must be there, and those that `package.json` names.
fn running(
    trusted: &[String],
    scripts: &[String],
    names: &BTreeSet<String>,
    lock: &str,
) -> Result<BTreeSet<String>, Fault> {
    if let Some(stranger) = scripts.iter().find(|name| !names.contains(*name)) {
        let why = format!("has no `{}`, whose install scripts [build] of the manifest names", shown(stranger));
        return Err(refused(lock, &why));
    }
    let trusted = trusted.iter().filter(|name| names.contains(*name));
    Ok(scripts.iter().chain(trusted).cloned().collect())
}

fn table(name: &str, text: &str) -> Result<Map<String, Value>, Fault> {
    match serde_json::from_str(text) {
        Ok(Value::Object(table)) => Ok(table),
        Ok(_) => Err(refused(name, "is not a JSON object")),
        Err(error) => Err(refused(name, &format!("is not JSON: {error}"))),
    }
}

fn fault(file: &str, wrong: &Wrong) -> Fault {
    refused(&format!("{file}: `{}`", shown(&wrong.place)), &wrong.why)
}

// === impl Keeper ===

impl Keeper {
    /// As `packageManager` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    fn order(self, lock: &str, project: Project) -> Result<Order, Wrong> {
        if self == Self::Npm { npm::order(lock, project.table) } else { Ok(Order::of(&self.plan(lock, &project)?)) }
    }

    /// Where the packages of a lock go that npm does not read itself.
    fn plan(self, lock: &str, project: &Project) -> Result<Plan, Wrong> {
        let plan = match self {
            Self::Yarn if berry::is_one(lock) => layout::lay_out(&berry::graph(lock, project)?)?,
            Self::Yarn => layout::lay_out(&yarn::graph(lock, project)?)?,
            Self::Bun => bun::plan(lock, project)?,
            Self::Pnpm | Self::Npm => layout::lay_out(&pnpm::graph(lock, project)?)?,
        };
        plan.settled()
    }
}

// === impl Order ===

impl Order {
    fn of(plan: &Plan) -> Self {
        let names = plan.places.values().map(|place| place.package.name.clone()).collect();
        Self { package: plan.package_json(), lock: plan.package_lock(), names, unknown: plan.unknown() }
    }
}
