//! Metrics of the tables in memory: how each follows its collection of the registry.

use faas_engine::ProjectionStatus;

use crate::metrics_page::Page;

pub(super) fn families(page: &mut Page, statuses: &[ProjectionStatus]) {
    let name = "faas_registry_stale_seconds";
    page.family(name, "gauge", "Time since a table in memory stopped following the registry; 0 while it follows.");
    for status in statuses {
        let seconds = status.stale_for.unwrap_or_default().as_secs_f64();
        page.sample(name, &[("collection", &status.collection.as_str())], seconds);
    }
    let mut each = |name: &str, help: &str, value: fn(&ProjectionStatus) -> u64| {
        page.family(name, "counter", help);
        for status in statuses {
            page.sample(name, &[("collection", &status.collection.as_str())], value(status));
        }
    };
    let help = "Times that a table was loaded again because it had stopped following the registry.";
    each("faas_registry_reloads_total", help, |status| status.reloads);
    each("faas_registry_failures_total", "Attempts to load a table again that failed.", |status| status.failures);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faas_ports::Collection;

    use super::*;

    #[test]
    fn each_table_has_a_sample_of_each_metric() {
        let current = ProjectionStatus { collection: Collection::Keys, stale_for: None, reloads: 2, failures: 3 };
        let stale_for = Some(Duration::from_millis(1_500));
        let stale = ProjectionStatus { collection: Collection::StageVars, stale_for, reloads: 0, failures: 4 };
        let mut page = Page::default();
        families(&mut page, &[current, stale]);
        let text = page.into_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"faas_registry_stale_seconds{collection="keys"} 0"#,
                r#"faas_registry_stale_seconds{collection="stage_vars"} 1.5"#,
                r#"faas_registry_reloads_total{collection="keys"} 2"#,
                r#"faas_registry_reloads_total{collection="stage_vars"} 0"#,
                r#"faas_registry_failures_total{collection="keys"} 3"#,
                r#"faas_registry_failures_total{collection="stage_vars"} 4"#,
            ]
        );
    }
}
