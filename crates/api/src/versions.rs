//! `/api/v1/functions/{id}/versions` and the events that moved aliases.

use std::collections::BTreeMap;

use axum::extract::State;
use faas_config::Manifest;
use faas_engine::FileChangeKind;
use faas_proto::rest::{
    FileChangeView, MoveList, MoveView, Problem, SettingChangeView, VersionDiff, VersionList, VersionView,
};
use faas_types::{Deployment, FunctionSettings, limits};
use faas_web::{Authorized, Failure, Json, PathParams};
use serde_json::Value;

use crate::state::ApiState;
use crate::views::{split_view, version_view};

/// Lists a function's newest versions.
#[utoipa::path(get, path = "/api/v1/functions/{id}/versions", tag = "functions", params(("id" = String, Path, description = "name or id")), responses(
    (status = 200, body = VersionList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_versions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<VersionList>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let versions = state.engine.versions(&entry, limits::PAGE_MAX as usize).await?;
    Ok(Json(VersionList { versions: versions.iter().map(|version| version_view(&entry, version)).collect() }))
}

/// Shows a version.
#[utoipa::path(get, path = "/api/v1/functions/{id}/versions/{number}", tag = "functions",
    params(("id" = String, Path, description = "name or id"), ("number" = u32, Path, description = "the version's number")), responses(
    (status = 200, body = VersionView),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_version(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, number)): PathParams<(String, u32)>,
) -> Result<Json<VersionView>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let version = state.engine.catalog().version(&entry, number).await?;
    Ok(Json(version_view(&entry, &version)))
}

/// Tells what two versions differ in: files, and keys of the manifest.
#[utoipa::path(get, path = "/api/v1/functions/{id}/versions/{from}/diff/{to}", tag = "functions",
    params(("id" = String, Path, description = "name or id"), ("from" = u32, Path, description = "the first version"), ("to" = u32, Path, description = "the second one")), responses(
    (status = 200, body = VersionDiff),
    (status = 404, description = "no such function or version", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn diff_versions(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams((id, from, to)): PathParams<(String, u32, u32)>,
) -> Result<Json<VersionDiff>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let before = state.engine.catalog().version(&entry, from).await?;
    let after = state.engine.catalog().version(&entry, to).await?;
    let changes = state.engine.changed_files(&before, &after).await?;
    let files = changes.into_iter().map(|change| FileChangeView {
        path: change.path,
        change: match change.kind {
            FileChangeKind::Added => "added",
            FileChangeKind::Removed => "removed",
            FileChangeKind::Changed => "changed",
        }
        .to_owned(),
        size_from: change.size_from,
        size_to: change.size_to,
    });
    let files = files.collect();
    let settings = changed_settings(&before.settings, &after.settings);
    Ok(Json(VersionDiff { function: entry.record.name.to_string(), from, to, files, settings }))
}

/// Lists the newest events that moved a function's aliases: deployments, rollbacks, and what happened by itself.
#[utoipa::path(get, path = "/api/v1/functions/{id}/deployments", tag = "deployments", params(("id" = String, Path, description = "name or id")), responses(
    (status = 200, body = MoveList),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_deployments(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<MoveList>, Failure> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let events = state.engine.deployments(&entry).await?;
    let newest = events.into_iter().rev().take(limits::PAGE_MAX as usize);
    Ok(Json(MoveList { deployments: newest.map(move_view).collect() }))
}

fn move_view(event: Deployment) -> MoveView {
    MoveView {
        id: event.id.to_string(),
        kind: event.kind,
        alias: event.alias.to_string(),
        from: event.from,
        to: event.to,
        split: event.split.map(split_view),
        note: event.note,
        at: event.at.to_string(),
    }
}

/// The keys of the manifest in which settings differ, in the manifest's own words.
fn changed_settings(from: &FunctionSettings, to: &FunctionSettings) -> Vec<SettingChangeView> {
    let keys = |settings: &FunctionSettings| {
        let manifest = Manifest {
            name: None,
            description: None,
            settings: settings.clone(),
            path: None,
            allowed_secrets: Vec::new(),
        };
        let mut keys = BTreeMap::new();
        flatten(String::new(), manifest.to_json(), &mut keys);
        keys
    };
    let (mut before, after) = (keys(from), keys(to));
    let mut changes = Vec::new();
    for (key, to) in after {
        let from = before.remove(&key).unwrap_or_default();
        if from != to {
            changes.push(SettingChangeView { key, from, to });
        }
    }
    changes.extend(before.into_iter().map(|(key, from)| SettingChangeView { key, from, to: Value::Null }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

/// Tables come apart into dotted keys; lists stay whole, since their items have no names.
fn flatten(path: String, value: Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(path, value, keys);
            }
        }
        value => drop(keys.insert(path, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_compared_key_by_key() {
        let settings = |text: &str| Manifest::from_toml("faas.toml", text).expect("a good manifest").settings;
        let from = settings("name = \"a\"\ntimeout = \"5s\"\n[vars]\nA = \"1\"\nB = \"1\"");
        let to = settings("name = \"a\"\ntimeout = \"6s\"\n[vars]\nA = \"1\"\nC = \"1\"\n[scaling]\nmax = 3");
        let found: Vec<_> = changed_settings(&from, &to).into_iter().map(|c| (c.key, c.from, c.to)).collect();
        let expected = [
            ("scaling.max", json!(10), json!(3)),
            ("timeout", json!("5s"), json!("6s")),
            ("vars.B", json!("1"), json!(null)),
            ("vars.C", json!(null), json!("1")),
        ];
        assert_eq!(found, expected.map(|(key, from, to)| (key.to_owned(), from, to)));
    }
}
