//! The steps of a deployment as they happen: remarks for people, events for programs that read `ndjson`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_client::UploadStep;
use faas_client::rest::DeploymentView;
use faas_source::checks;
use faas_source::project::Project;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::LogStream;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use super::DeployUnit;
use super::build::Build;

/// Lines of a build log that are shown; all of them are kept with the version.
const LOG_LINES: usize = 20;

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
        self.event(&json!({ "event": "fetched", "from": origin }))
    }

    pub(super) fn checking(&self, project: &Project) -> anyhow::Result<()> {
        self.session.out.note(format_args!("checking {}: {}", project.name, checks::extent(project)));
        if let Some(heavy) = checks::heavy(project) {
            self.session.out.note(format_args!("  {heavy}"));
        }
        let (name, files, bytes) = (&project.name, project.files.len(), project.bytes());
        self.event(&json!({ "event": "checking", "function": name, "files": files, "bytes": bytes }))
    }

    pub(super) fn uploading(&self, units: &[DeployUnit]) -> anyhow::Result<Upload<'s>> {
        let bytes: u64 = units.iter().map(|unit| unit.plan.bytes_missing).sum();
        let blobs: usize = units.iter().map(|unit| unit.plan.missing.len()).sum();
        let files: usize = units.iter().map(|unit| unit.project.files.len()).sum();
        self.event(&json!({ "event": "uploading", "blobs": blobs, "bytes": bytes, "files": files }))?;
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

    /// The event of this step is the deployment itself, which is printed as the outcome.
    pub(super) fn switched(&self, deployment: &DeploymentView) {
        let out = &self.session.out;
        if let Some(log) = &deployment.build_log {
            // What the installer wrote was shown when it came.
            let own: Vec<_> = log.lines.iter().filter(|line| line.stream != LogStream::Platform).collect();
            for line in own.iter().take(LOG_LINES) {
                out.note(format_args!("  | {}", text::visible(&line.message)));
            }
            let more = own.len().saturating_sub(LOG_LINES) as u64 + log.dropped;
            if more > 0 {
                let (name, version) = (&deployment.function, deployment.version);
                out.note(format_args!("  | … {more} more lines: faas versions log {name} {version}"));
            }
        }
        let alias = if deployment.alias == "live" { String::new() } else { format!(":{}", deployment.alias) };
        let (name, version) = (&deployment.function, deployment.version);
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

    fn event(&self, event: &Value) -> anyhow::Result<()> {
        match self.session.out.format {
            Format::Ndjson => self.session.out.json(event),
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
