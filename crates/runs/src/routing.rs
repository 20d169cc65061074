//! From the name of a function to the version that a call goes to.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_types::{Affinity, Alias, Fault, Lot, ProjectId, Stage};

use crate::body_budget::{BodyOwner, Reservation};
use crate::route::{Route, Selector, kept_lot, no_alias};
use crate::runs::Runs;

// === impl Runs ===

impl Runs {
    /// Finds the function and the version that a call goes to.
    ///
    /// # Errors
    /// `FN_001` without such a function, `FN_013` without such a version.
    pub async fn route(&self, project: ProjectId, name: &str, selector: &Selector) -> Result<Route, Fault> {
        self.route_entry(self.catalog.find(project, name)?, selector, None).await
    }

    /// The same for a request, of which `mark` gives the part that may keep its caller with a version.
    ///
    /// # Errors
    /// `FN_001` without such a function, `FN_013` without such a version.
    pub async fn route_request<'r>(
        &self,
        project: ProjectId,
        name: &str,
        selector: &Selector,
        mark: impl Fn(&Affinity) -> Option<&'r [u8]>,
    ) -> Result<Route, Fault> {
        let entry = self.catalog.find(project, name)?;
        let lot = kept_lot(&entry, selector, mark);
        self.route_entry(entry, selector, lot).await
    }

    /// Identifies the vars and secrets that a call by this route runs with.
    #[must_use]
    pub fn vars_fingerprint(&self, route: &Route) -> u64 {
        self.vars.fingerprint(&route.entry, &route.version, route.stage).as_u64()
    }

    /// A function's version by selector. `lot` is the call's place where it has one already.
    pub async fn route_entry(
        &self,
        entry: Arc<FunctionEntry>,
        selector: &Selector,
        mut lot: Option<Lot>,
    ) -> Result<Route, Fault> {
        let number = match selector {
            Selector::Version(number) => *number,
            Selector::Alias(name) => {
                let has_ended = |alias: &Alias| alias.expires_at.is_some() && alias.has_expired(self.clock.now());
                let alias = entry.record.aliases.get(name).filter(|alias| !has_ended(alias));
                let alias = alias.ok_or_else(|| no_alias(&entry.record.name, name))?;
                if alias.split.is_some() && lot.is_none() {
                    lot = Some(entry.draw(name));
                }
                lot.map_or(alias.version, |lot| alias.pick(lot))
            }
        };
        let version = self.catalog.version(&entry, number).await?;
        let stage = match selector {
            Selector::Alias(name) => entry.record.stage_of(name),
            // A preview's number is no way to what `prod` keeps from it, unless it has come there since.
            Selector::Version(_) if version.preview && !entry.record.is_in(Stage::Prod, number) => Stage::Dev,
            Selector::Version(_) => Stage::Prod,
        };
        Ok(Route { entry, version, selector: selector.clone(), lot, stage })
    }

    /// An empty reservation of that memory, to grow with the body of a call of this function.
    #[must_use]
    pub fn room_for_body(&self, route: &Route) -> Reservation {
        let record = &route.entry.record;
        self.bodies.open(BodyOwner { project: record.project, function: record.id })
    }
}
