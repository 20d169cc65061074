//! From what is kept to what is shown.

use faas_engine::{FunctionEntry, KeyRecord};
use faas_proto::rest::{
    ActorView, AliasView, AttemptView, BatchView, BuildLineView, BuildLogView, CanaryPolicyView, FunctionView, KeyView,
    LogLineView, RunErrorView, RunView, SettingsView, SplitView, StartView, VersionView,
};
use faas_types::{
    Alias, AliasName, AttemptRecord, Author, Batch, BuildLine, BuildLog, CanaryPolicy, Diagnosis, Fault, FunctionName,
    JsonText, LogLine, Mover, NetworkMode, ProjectId, RunRecord, RunState, Split, StartTimes, TriggerSettings,
    VersionRecord,
};

use crate::manifest::function_rows;
use crate::state::ApiState;

impl ApiState {
    /// Where a function is called.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/fn/{name}", self.public_url)
    }

    pub(crate) async fn function_view(&self, entry: &FunctionEntry) -> Result<FunctionView, Fault> {
        let live = match entry.live_version() {
            Some(number) => Some(self.engine.catalog().version(entry, number).await?),
            None => None,
        };
        let manifest = live.as_deref().map(|version| function_rows(&entry.record, version)).unwrap_or_default();
        Ok(FunctionView { manifest, ..self.view_with(entry, live.as_deref()) })
    }

    /// The view of a function whose live version is at hand, as lists have it.
    pub(crate) fn view_with(&self, entry: &FunctionEntry, version: Option<&VersionRecord>) -> FunctionView {
        let record = &entry.record;
        let live = entry.live_version();
        FunctionView {
            id: record.id.to_string(),
            name: record.name.to_string(),
            url: self.url(record.name.as_str()),
            status: if live.is_some() { "ready" } else { "empty" }.to_owned(),
            version: live,
            latest_version: record.latest_version,
            aliases: self.alias_views(entry).map(|alias| (alias.name.clone(), alias)).collect(),
            settings: version.map(settings_view),
            manifest: Vec::new(),
            instances: self.engine.scheduler().instances_of(record.id),
            paused: record.paused,
            description: record.description.clone(),
            labels: record.labels.clone(),
            waiting_runs: self.engine.runs.backlog_of(record.id),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
            network_set_by: version.and_then(|version| network_set_by(entry, version)),
        }
    }

    /// The aliases of a function, by name.
    pub(crate) fn alias_views<'e>(&'e self, entry: &'e FunctionEntry) -> impl Iterator<Item = AliasView> + 'e {
        entry.record.aliases.iter().map(|(name, alias)| AliasView {
            name: name.to_string(),
            url: self.alias_url(&entry.record.name, name),
            http: None,
            version: alias.version,
            split: alias.split.map(split_view),
            sticky: alias.sticky.as_ref().map(ToString::to_string),
            expires_at: alias.expires_at.map(|at| at.to_string()),
            moved_at: alias.moved_at.to_string(),
            actor: alias.moved_by.as_ref().map(mover_view),
        })
    }

    /// An alias, with whether its URL answers requests.
    pub(crate) async fn served_alias(&self, entry: &FunctionEntry, view: AliasView) -> Result<AliasView, Fault> {
        let numbers = [Some(view.version), view.split.map(|split| split.version)];
        let mut serves = false;
        for number in numbers.into_iter().flatten() {
            serves |= has_http(&*self.engine.catalog().version(entry, number).await?);
        }
        Ok(AliasView { http: Some(serves), ..view })
    }

    /// Where a function is called by an alias.
    pub(crate) fn alias_url(&self, name: &FunctionName, alias: &AliasName) -> String {
        if *alias == AliasName::live() { self.url(name.as_str()) } else { self.url(&format!("{name}:{alias}")) }
    }

    pub(crate) fn log_line_view(&self, project: ProjectId, position: u64, line: LogLine) -> LogLineView {
        let function = self.engine.catalog().by_id(project, line.function);
        LogLineView {
            position,
            at: line.at.to_string(),
            level: line.level,
            stream: line.stream,
            function: function.map_or_else(|| line.function.to_string(), |entry| entry.record.name.to_string()),
            function_id: line.function.to_string(),
            run_id: line.run.map(|run| run.to_string()),
            message: line.message,
        }
    }
}

pub(crate) fn build_log_view(log: &BuildLog) -> BuildLogView {
    let line = |line: &BuildLine| BuildLineView {
        at: line.at.to_string(),
        level: line.level,
        stream: line.stream,
        message: line.message.clone(),
    };
    BuildLogView { lines: log.lines.iter().map(line).collect(), dropped: log.dropped }
}

pub(crate) fn has_http(version: &VersionRecord) -> bool {
    version.settings.triggers.iter().any(|trigger| matches!(trigger, TriggerSettings::Http { .. }))
}

/// Whose policy counts in place of the version's own. Versions without a network have none that one could stand in for.
pub(crate) fn network_set_by(entry: &FunctionEntry, version: &VersionRecord) -> Option<String> {
    let set = entry.record.egress.as_ref().filter(|_| version.settings.network == NetworkMode::Egress);
    set.map(|set| set.by.name.clone())
}

fn settings_view(version: &VersionRecord) -> SettingsView {
    let settings = &version.settings;
    SettingsView {
        runtime: settings.runtime.to_string(),
        runtime_exact: version.runtime_exact.clone(),
        entrypoint: settings.entrypoint.to_string(),
        auth: settings.auth,
        timeout: settings.timeout.to_string(),
        memory: settings.memory.to_string(),
        cpu_millis: settings.cpu_millis,
        network: settings.network,
        scaling: settings.scaling,
        triggers: settings.triggers.clone(),
        background: settings.background.clone(),
        canary: settings.canary.as_ref().map(policy_view),
        layers: settings.layers.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn policy_view(policy: &CanaryPolicy) -> CanaryPolicyView {
    CanaryPolicyView {
        steps: policy.steps.iter().map(|share| share.percent()).collect(),
        every: policy.every.to_string(),
        max_error_rate: f64::from(policy.max_error_rate.get()) / 1000.0,
        max_p95: policy.max_p95.map(|span| span.to_string()),
        min_calls: policy.min_calls,
    }
}

pub(crate) fn split_view(split: Split) -> SplitView {
    SplitView { version: split.version, percent: split.share.percent() }
}

pub(crate) fn author_view(by: &Author) -> ActorView {
    ActorView { kind: "key".to_owned(), id: Some(by.key.to_string()), name: by.name.clone() }
}

pub(crate) fn mover_view(by: &Mover) -> ActorView {
    let kind = match by {
        Mover::Key(author) => return author_view(author),
        Mover::Canary => "policy",
        Mover::Platform => "platform",
    };
    ActorView { kind: kind.to_owned(), id: None, name: by.name().to_owned() }
}

pub(crate) fn version_view(entry: &FunctionEntry, version: &VersionRecord) -> VersionView {
    let leads_here = |(name, alias): (&AliasName, &Alias)| alias.reaches(version.number).then(|| name.to_string());
    VersionView {
        id: version.id.to_string(),
        number: version.number,
        digest: version.bundle.to_string(),
        files: version.file_count,
        size: version.size,
        note: version.note.clone(),
        actor: version.author.as_ref().map(author_view),
        aliases: entry.record.aliases.iter().filter_map(leads_here).collect(),
        settings: settings_view(version),
        manifest: Vec::new(),
        created_at: version.created_at.to_string(),
    }
}

fn error_view(run: &mut RunRecord) -> Option<RunErrorView> {
    let code = run.code?;
    let own = run.error.take();
    let message = run.message.take().unwrap_or_else(|| code.title().to_owned());
    let Diagnosis { class, summary, advice } = faas_languages::diagnose(code, &message, own.as_ref());
    let own = own.unwrap_or_default();
    Some(RunErrorView {
        code: code.to_string(),
        summary,
        message,
        cause: class,
        advice,
        kind: (!own.kind.is_empty()).then_some(own.kind),
        stack: own.stack,
        file: own.file,
        line: own.line,
        column: own.column,
        snippet: own.snippet,
    })
}

pub(crate) fn run_view(mut run: RunRecord) -> RunView {
    let error = error_view(&mut run);
    let completion = run.completion.take().map(|completion| *completion).unwrap_or_default();
    let batch = run.batch.take().map(|batch| batch_view(&batch, run.state()));
    RunView {
        id: run.id.to_string(),
        function: run.function().name.to_string(),
        function_id: run.function().id.to_string(),
        version: run.function().version,
        stage: run.stage,
        state: run.state(),
        trigger: run.trigger,
        trigger_name: run.trigger_name.map(|name| name.to_string()),
        created_at: run.created_at.to_string(),
        started_at: run.started_at.map(|at| at.to_string()),
        finished_at: run.finished_at.map(|at| at.to_string()),
        duration_ms: run.duration_us.map(millis),
        cold_start: run.cold_start,
        isolation: run.isolation.into(),
        http_status: run.http_status,
        attempts: run.attempts.iter().map(attempt_view).collect(),
        error,
        result: run.result.and_then(JsonText::shallow),
        input_kept: None,
        parent_run_id: run.origin.map(|id| id.to_string()),
        due_at: run.due_at.map(|at| at.to_string()),
        callback: completion.callback,
        destination: completion.destination,
        batch,
    }
}

fn batch_view(batch: &Batch, state: RunState) -> BatchView {
    let left = match (&batch.left, state) {
        (_, RunState::Succeeded) => 0,
        (Some(left), _) => u16::try_from(left.len()).unwrap_or(u16::MAX),
        (None, _) => batch.messages,
    };
    BatchView { messages: batch.messages, left }
}

fn attempt_view(attempt: &AttemptRecord) -> AttemptView {
    AttemptView {
        id: attempt.id.to_string(),
        number: attempt.number,
        instance: attempt.instance.map(|id| id.to_string()),
        started_at: attempt.started_at.to_string(),
        finished_at: attempt.finished_at.map(|at| at.to_string()),
        cold_start: attempt.cold_start,
        queue_ms: millis(attempt.queue_us),
        start: attempt.start.map(start_view),
        handler_ms: millis(attempt.handler_us),
        peak_memory_bytes: attempt.peak_memory_bytes,
        cpu_ms: attempt.cpu_us.map(millis),
        dropped_log_lines: attempt.dropped_log_lines,
        code: attempt.code.map(|code| code.to_string()),
        message: attempt.message.clone(),
        error: attempt.error.clone(),
    }
}

fn start_view(start: StartTimes) -> StartView {
    StartView {
        sandbox_ms: millis(start.sandbox_us),
        runtime_ms: millis(start.runtime_us),
        import_ms: millis(start.import_us),
    }
}

pub(crate) fn key_view(record: KeyRecord) -> KeyView {
    KeyView {
        id: record.id.to_string(),
        name: record.settings.name,
        prefix: record.prefix,
        scopes: record.settings.scopes,
        functions: record.settings.functions.iter().map(ToString::to_string).collect(),
        created_at: record.created_at.to_string(),
        expires_at: record.settings.expires_at.map(|at| at.to_string()),
        last_used_at: record.last_used_at.map(|at| at.to_string()),
        revoked_at: record.revoked_at.map(|at| at.to_string()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations stay far below 2^53 microseconds")]
pub(crate) fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
