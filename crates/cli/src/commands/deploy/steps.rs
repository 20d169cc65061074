//! The steps of a deployment as they happen: remarks for people, events for programs that read `ndjson`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use faas_client::UploadStep;
use faas_client::rest::{DeploymentView, StreamEvent};
use faas_source::checks;
use faas_source::project::Project;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::Timestamp;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use super::DeployUnit;
use super::build::Build;
use super::report::number;

/// Tells of steps.
pub(super) struct Steps<'s> {
    session: &'s Session,
}

/// An upload under way.
pub(super) struct Upload<'s> {
    session: &'s Session,
    bar: ProgressBar,
    cuts: Arc<AtomicU64>,
}

/// Sizes are told everywhere in the same form. A line that cannot be drawn is nobody's loss.
fn size(to: &mut dyn fmt::Write, count: Option<u64>) {
    let _ = to.write_str(&text::bytes(count.unwrap_or_default()));
}

// === impl Steps ===

impl<'s> Steps<'s> {
    pub(super) fn new(session: &'s Session) -> Self {
        Self { session }
    }

    pub(super) fn fetched(&self, origin: Option<&str>) -> anyhow::Result<()> {
        let Some(origin) = origin else { return Ok(()) };
        self.session.out.note(format_args!("from {}", text::visible(origin)));
        self.event(json!({ "step": "fetched", "from": origin }))
    }

    pub(super) fn checking(&self, project: &Project) -> anyhow::Result<()> {
        self.session.out.note(format_args!("checking {}: {}", project.name, checks::extent(project)));
        if let Some(heavy) = checks::heavy(project) {
            self.session.out.note(format_args!("  {heavy}"));
        }
        let (name, files, bytes) = (&project.name, project.files.len(), project.bytes());
        self.event(json!({ "step": "reading", "function": name, "files": files, "bytes": bytes }))
    }

    /// What a function changes, and how much of it is uploaded.
    pub(super) fn compared(&self, unit: &DeployUnit) -> anyhow::Result<()> {
        let (name, upload, changes) = (&unit.project.name, unit.counts(), unit.changes.to_json());
        self.event(json!({ "step": "compared", "function": name, "upload": upload, "changes": changes }))
    }

    pub(super) fn uploading(&self, units: &[DeployUnit]) -> anyhow::Result<Upload<'s>> {
        let bytes: u64 = units.iter().map(|unit| unit.plan.missing_bytes).sum();
        let blobs: usize = units.iter().map(|unit| unit.plan.missing.len()).sum();
        let files: usize = units.iter().map(|unit| unit.project.files.len()).sum();
        self.event(json!({ "step": "uploading", "blobs": blobs, "bytes": bytes, "files": files }))?;
        let bar = if !self.session.out.stderr_tty || bytes == 0 {
            ProgressBar::hidden()
        } else {
            let style = ProgressStyle::with_template("uploading {bar:30} {sent} of {all} {eta}")
                .expect("the template is constant and tested by every deploy on a terminal")
                .with_key("sent", |state: &ProgressState, to: &mut dyn fmt::Write| size(to, Some(state.pos())))
                .with_key("all", |state: &ProgressState, to: &mut dyn fmt::Write| size(to, state.len()));
            ProgressBar::new(bytes).with_style(style)
        };
        Ok(Upload { session: self.session, bar, cuts: Arc::default() })
    }

    pub(super) fn building(&self, functions: usize) -> Build<'s> {
        Build::new(self.session, functions > 1)
    }

    pub(super) fn switched(&self, deployment: &DeploymentView) {
        let out = &self.session.out;
        let alias = if deployment.alias == "live" { String::new() } else { format!(":{}", deployment.alias) };
        let (name, version) = (&deployment.function, number(deployment.version));
        match &deployment.split {
            Some(split) => {
                out.note(format_args!(
                    "{} % of the calls of {name}{alias} go to version {}",
                    split.percent, split.version
                ));
            }
            None => out.note(format_args!("switched {name}{alias} to version {version}")),
        }
        if let Some(by) = &deployment.network_set_by {
            out.note(format_args!(
                "the network policy that {} set stands in place of the manifest's; `faas network reset {name}` ends that",
                text::visible(by)
            ));
        }
    }

    /// A step of this machine, in the envelope that the server's events have.
    fn event(&self, data: Value) -> anyhow::Result<()> {
        match self.session.out.format {
            Format::Ndjson => {
                let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
                let at = Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX)).to_string();
                self.session.out.json_line(&StreamEvent { id: "0".to_owned(), kind: "step".to_owned(), at, data })
            }
            Format::Table | Format::Json => Ok(()),
        }
    }
}

// === impl Upload ===

impl Upload<'_> {
    /// Hears of chunks.
    pub(super) fn listener(&self) -> impl Fn(UploadStep) + Clone + Send + Sync + 'static {
        let (bar, cuts) = (self.bar.clone(), Arc::clone(&self.cuts));
        move |step| match step {
            UploadStep::Sent(bytes) => bar.inc(bytes),
            UploadStep::Again(bytes) => {
                cuts.fetch_add(1, Ordering::Relaxed);
                bar.set_position(bar.position().saturating_sub(bytes));
            }
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
        let cuts = self.cuts.load(Ordering::Relaxed);
        if cuts > 0 {
            let times = if cuts == 1 { "once".to_owned() } else { format!("{cuts} times") };
            self.session.out.note(format_args!("the line was cut {times}; what had arrived was not sent again"));
        }
    }
}
