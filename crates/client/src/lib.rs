//! The Rust SDK: everything the CLI does goes through it.
//!
//! ```no_run
//! # async fn example() -> Result<(), faas_client::ClientError> {
//! use faas_client::{ApiKey, Client, Connection, InvokeRequest};
//!
//! let connection = Connection::new("http://127.0.0.1:8080", Some(ApiKey::new("faas_…")?))?;
//! let client = Client::new(connection)?;
//! let reply = client.invoke("hello", InvokeRequest::json(&serde_json::json!({"x": 5, "y": 10}))).await?;
//! println!("{}", String::from_utf8_lossy(&reply.body));
//! # Ok(())
//! # }
//! ```

mod aliases;
mod background;
mod call_meta;
mod callbacks;
mod client;
mod connection;
mod deploy;
mod error;
mod functions;
mod invoke;
mod keys;
mod layers;
mod logs;
mod named_layers;
mod network;
mod preflight;
mod raw;
mod rows;
mod runs;
mod secrets;
mod server;
mod sse;
mod stream;
mod topics;
mod triggers;
mod vars;

pub use background::{LaterOptions, ListDeadLetters};
pub use call_meta::CallMeta;
pub use client::Client;
pub use connection::{ApiKey, Connection, DEFAULT_ENDPOINT};
pub use deploy::{DeployOptions, DeploymentFollower, LocalFile, ManifestBody, UploadStep};
pub use error::ClientError;
pub use functions::{FunctionSort, ListFunctions};
pub use invoke::{InvokeRequest, Reply};
pub use logs::{ListLogs, LogFollower, LogSource};
pub use rows::{ROWS_MAX, Rows};
pub use runs::ListRuns;
pub use topics::TopicMessage;

pub use faas_proto::rest;
