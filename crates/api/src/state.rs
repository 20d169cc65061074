//! What every route of the control plane works with.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRef;
use faas_engine::Engine;
use faas_ingress::ResponseCache;
use faas_types::IsolationReport;
use faas_web::ConnectionStats;

use crate::git::{GitRemote, GitState};

/// Shared by all routes. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The engine.
    pub engine: Engine,
    /// Where people reach this server, without a slash at the end: `http://127.0.0.1:8080`.
    pub public_url: Arc<str>,
    /// What the machine enforces.
    pub isolation: Arc<IsolationReport>,
    /// When the server started.
    pub started: Instant,
    /// The counts of its connections.
    pub connections: Arc<ConnectionStats>,
    /// Whether anybody may read `/metrics`.
    pub open_metrics: bool,
    /// Answers that functions allow to be kept.
    pub cache: ResponseCache,
    /// Where pushes of git go.
    pub git: Arc<GitRemote>,
}

// === impl GitState ===

impl FromRef<ApiState> for GitState {
    fn from_ref(state: &ApiState) -> Self {
        Self { engine: state.engine.clone(), remote: Arc::clone(&state.git) }
    }
}
