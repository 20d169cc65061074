//! `/docs`: the guides of this release, as Markdown.

use axum::Router;

use crate::state::ApiState;
use crate::static_page::page;

macro_rules! pages {
    ($($path:literal)*) => {
        /// Each page's path below `docs/`, and its text.
        const PAGES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../docs/", $path)))),*];
    };
}

pages! {
    "guides/getting-started.md" "guides/http.md" "guides/deploying.md" "guides/local.md" "guides/python.md" "guides/node.md" "guides/deno.md"
    "guides/dependencies.md" "guides/layers.md" "guides/vars-and-secrets.md" "guides/triggers.md" "guides/async.md"
    "guides/versions.md" "guides/scaling.md" "guides/networking.md" "guides/runs-and-logs.md" "guides/git.md" "guides/security.md"
    "guides/api.md" "guides/errors.md" "guides/streams.md" "guides/writes.md" "guides/lists.md"
    "caching.md" "cli.md" "configuration.md" "limits.md" "observability.md" "SPECIFICATION.md"
}

/// The list of pages, and each page.
pub(crate) fn routes() -> Router<ApiState> {
    let list = || {
        let line = |path: &str, text: &str| {
            let title = text.lines().next().unwrap_or(path).trim_start_matches("# ").replace('`', "");
            format!("<li><a href=\"/docs/{path}\">{title}</a>\n")
        };
        let lines: String = PAGES.iter().map(|(path, text)| line(path, text)).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Function Cloud: guides</title>\n\
             <h1>Guides</h1>\n<ul>\n{lines}</ul>\n<p>The command line explains itself: <code>faas help</code>, \
             <code>faas explain FN_004</code>.</p>\n</html>\n"
        )
    };
    let router = Router::new().route("/docs", page("text/html; charset=utf-8", list));
    PAGES.iter().fold(router, |router, (path, text)| {
        router.route(&format!("/docs/{path}"), page("text/markdown; charset=utf-8", || (*text).to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guide_is_a_page() {
        let guides = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides");
        for guide in std::fs::read_dir(guides).expect("the guides").flatten() {
            let path = format!("guides/{}", guide.file_name().to_string_lossy());
            assert!(PAGES.iter().any(|(page, _)| *page == path), "{path} is not in PAGES");
        }
        assert!(PAGES.iter().all(|(_, text)| text.starts_with("# ")), "a page begins with its title");
    }
}
