//! The project of this server's own users.

use bytes::Bytes;
use faas_ports::{Clock, Collection, Expect, IdSource, Key, PortError, PortResult, Registry, Write};
use faas_types::ProjectId;

use crate::records::decode;

/// The project that callers without a key belong to; made at the first start.
///
/// # Errors
/// When the registry cannot be read or written.
pub async fn default_project(registry: &dyn Registry, clock: &dyn Clock, ids: &dyn IdSource) -> PortResult<ProjectId> {
    // Stored under the nil project, which owns what belongs to the server itself.
    let key = Key::new(ProjectId::from_u128(0), Collection::Projects, "default");
    loop {
        if let Some(entry) = registry.get(&key).await? {
            return decode(&key, &entry.value);
        }
        let project: ProjectId = ids.mint(clock.now());
        let value = Bytes::from(format!("\"{project}\""));
        let write = Write::Put { key: key.clone(), value, expect: Expect::Absent };
        match registry.commit(vec![write]).await {
            Ok(_) => return Ok(project),
            Err(PortError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
