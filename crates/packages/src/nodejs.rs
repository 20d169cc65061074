//! Node.js: `package.json` with the lock of npm, pnpm, Yarn or Bun.
//!
//! npm installs in every case: the lock of another program is turned into a `package-lock.json` that puts every package where
//! each import finds the version that the lock means. So there is one installer to trust, hashes are checked in one place, and
//! functions share a layer though their authors use different programs.

mod berry;
mod bun;
mod declarations;
mod graph;
mod imports;
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

use crate::ecosystem::{Ecosystem, InstallTarget, RequestFile};
use crate::language_packages::{LanguagePackages, PackageReading};
use crate::plan::PackagePlan;
use crate::refusal::{refused, shown};
use crate::sources::{ReadError, SourceFiles};
use graph::Wrong;
use plan::Plan;
use project::Project;

/// Node's packages, from npm's registry.
pub(crate) struct Nodejs;

pub(crate) const PACKAGES: LanguagePackages = LanguagePackages {
    language: "node",
    ecosystem: &Nodejs,
    reading: Some(PackageReading { declarations: &Nodejs, imports: &Nodejs }),
};

const PACKAGE: &str = "package.json";
/// The file that the installer is given.
const LOCK: &str = "package-lock.json";
/// Further instructions for the builder.
const ORDERS: &str = "build.json";
/// Bun's binary lock, with the command that makes a text one.
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
    /// Places of packages whose platform only the registry knows.
    unknown: Vec<String>,
}

// === impl Nodejs ===

impl Ecosystem for Nodejs {
    fn vendor_dirs(&self) -> &'static [&'static str] {
        &["node_modules/"]
    }

    fn layer_prefix(&self) -> &'static str {
        "node_modules/"
    }

    fn request_files(&self) -> &'static [RequestFile] {
        &[
            (PACKAGE, &[]),
            (LOCK, &[PACKAGE]),
            ("npm-shrinkwrap.json", &[PACKAGE]),
            ("pnpm-lock.yaml", &[PACKAGE]),
            ("yarn.lock", &[PACKAGE]),
            ("bun.lock", &[PACKAGE]),
        ]
    }

    fn plan(&self, sources: &SourceFiles, target: &InstallTarget) -> Result<PackagePlan, ReadError> {
        let Some(text) = sources.text(PACKAGE)? else { return Ok(PackagePlan::Nothing) };
        let project = Project { table: table(PACKAGE, text)? };
        if project.wanted().map_err(|wrong| fault(PACKAGE, &wrong))?.is_empty() {
            return Ok(PackagePlan::Nothing);
        }
        let Some((name, keeper)) = chosen(&project, |name| sources.has(name))? else {
            return Ok(PackagePlan::Unreadable(format!(
                "there is no {LOCK}, so the packages of {PACKAGE} are not installed; make a {LOCK} with: npm install \
                 --package-lock-only"
            )));
        };
        if project.table.contains_key("workspaces") {
            return Err(refused(PACKAGE, "has workspaces, which a bundle cannot have").into());
        }
        let lock = sources.text_within(name, limits::LOCK_MAX)?.unwrap_or_default();
        let trusted: Vec<String> = project.trusted().map(str::to_owned).collect();
        let order = keeper.order(lock, project).map_err(|wrong| fault(name, &wrong))?;
        let mut files = BTreeMap::from([(PACKAGE, order.package.to_string()), (LOCK, order.lock.to_string())]);
        let scripts = running(&trusted, &target.scripts, &order.names, name)?;
        if !scripts.is_empty() || !order.unknown.is_empty() {
            files.insert(ORDERS, json!({ "scripts": scripts, "unknown": order.unknown }).to_string());
        }
        Ok(PackagePlan::install(name, LOCK, files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()))
    }

    fn is_missing_module(&self, message: &str) -> bool {
        ["Cannot find module", "Cannot find package"].iter().any(|words| message.contains(words))
    }
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
