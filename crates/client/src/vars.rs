//! Vars, of a function and of a project's stages.

use faas_proto::rest::{SetVars, VarList};
use faas_types::Stage;
use reqwest::Method;

use crate::client::segment;
use crate::functions::path;
use crate::{Client, ClientError, Rows};

/// The vars of a stage, for every function.
const STAGE: &str = "api/v1/vars";

/// The query that names a stage.
pub(crate) fn of(stage: Stage) -> [(&'static str, &'static str); 1] {
    [("stage", stage.as_str())]
}

// === impl Client ===

impl Client {
    /// The vars that instances of a function see in a stage, or, without a function, those that a stage gives all of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn vars(&self, function: Option<&str>, stage: Stage, rows: &Rows) -> Result<VarList, ClientError> {
        self.rows(&place(function)?, &of(stage), rows).await
    }

    /// Sets vars of a function, or of a stage; others stay.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_vars(&self, function: Option<&str>, stage: Stage, body: &SetVars) -> Result<VarList, ClientError> {
        self.read(self.request(Method::PATCH, &place(function)?)?.query(&of(stage)).json(body)).await
    }

    /// Removes a var that was set for a function, or for a stage.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unset_var(&self, function: Option<&str>, stage: Stage, key: &str) -> Result<(), ClientError> {
        let path = format!("{}/{}", place(function)?, segment(key)?);
        self.done(self.request(Method::DELETE, &path)?.query(&of(stage))).await
    }
}

fn place(function: Option<&str>) -> Result<String, ClientError> {
    function.map_or_else(|| Ok(STAGE.to_owned()), |name| path(name, "/vars"))
}
