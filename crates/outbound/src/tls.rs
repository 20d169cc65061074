//! TLS towards far ends, with the certificates that this machine trusts.

use std::io;

use faas_ports::Wire;
use tokio::net::TcpStream;

/// Makes TLS of connections.
#[derive(Default)]
pub(crate) struct Tls {
    /// Made with the first connection: most servers never need one, and the certificates of the machine take some
    /// milliseconds to load.
    #[cfg(feature = "tls")]
    config: std::sync::OnceLock<Result<std::sync::Arc<tokio_rustls::rustls::ClientConfig>, String>>,
}

// === impl Tls ===

#[cfg(feature = "tls")]
impl Tls {
    /// TLS over a connection, with the host that its certificate has to be for.
    pub(crate) async fn over(&self, stream: TcpStream, host: &str) -> io::Result<Box<dyn Wire>> {
        use tokio_rustls::rustls::pki_types::ServerName;

        let config = self.config.get_or_init(|| config().map_err(|error| error.to_string()));
        let config = config.clone().map_err(|why| io::Error::other(format!("no TLS: {why}")))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?))
    }
}

#[cfg(feature = "tls")]
fn config() -> Result<std::sync::Arc<tokio_rustls::rustls::ClientConfig>, tokio_rustls::rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    use tokio_rustls::rustls::{ClientConfig, crypto::aws_lc_rs};

    let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(std::sync::Arc::new(builder.with_platform_verifier()?.with_no_client_auth()))
}

#[cfg(not(feature = "tls"))]
impl Tls {
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    pub(crate) async fn over(&self, _: TcpStream, _: &str) -> io::Result<Box<dyn Wire>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this build has no TLS; build it with the feature `tls`"))
    }
}
