//! Connections to the outside world, for what is confined.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection: bytes both ways.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Nobody may connect there.
    #[error("{0}")]
    NotAllowed(String),
    /// It could not be reached.
    #[error("{0}")]
    Failed(String),
}

/// Connects to what an operator allows, and to nothing else.
#[async_trait]
pub trait Egress: Send + Sync {
    /// Connects to a host, a name or an address. Takes at most some seconds.
    ///
    /// # Errors
    /// [`EgressError::NotAllowed`] naming the setting that would allow it.
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Wire>, EgressError>;
}
