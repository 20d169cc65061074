//! What new functions start from, by language and template.

use clap::ValueEnum;

/// What a function starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Template {
    /// handler(event, context), or fetch(request) for Node: full control of request and reply
    #[default]
    Http,
    /// Takes signed deliveries of another service
    Webhook,
    /// Called by a schedule
    Cron,
    /// Takes messages of a topic, several at once, and says which come again
    Worker,
    /// A plain function of Python: parameters from the JSON body, reply {"result": …}
    Plain,
    /// An ASGI application of Python, such as FastAPI, with its packages in requirements.txt
    Asgi,
    #[value(hide = true)]
    Stateful,
}

/// What a template consists of, for one language.
pub(super) struct Start {
    pub(super) language: &'static str,
    pub(super) template: Template,
    pub(super) code: &'static str,
    pub(super) readme: &'static str,
    pub(super) symbol: &'static str,
    /// The end of the manifest.
    pub(super) triggers: &'static str,
    /// An event file that the function passes.
    pub(super) test: &'static str,
    /// A file that names the packages to install, with its text.
    pub(super) packages: Option<(&'static str, &'static str)>,
}

/// One template of one language; the files lie in the template's directory.
macro_rules! start {
    ($language:literal, $template:ident, $dir:literal, $code:literal, $readme:literal, $symbol:literal) => {
        Start {
            language: $language,
            template: Template::$template,
            code: include_str!(concat!("../../../templates/", $dir, "/", $code)),
            readme: include_str!(concat!("../../../templates/", $dir, "/", $readme)),
            symbol: $symbol,
            triggers: include_str!(concat!("../../../templates/", $dir, "/triggers.toml")),
            test: include_str!(concat!("../../../templates/", $dir, "/test.json")),
            packages: None,
        }
    };
}

/// Every template.
pub(super) const STARTS: [Start; 10] = [
    start!("python", Http, "http", "main.py", "README.md", "handler"),
    start!("python", Webhook, "webhook", "main.py", "README.md", "handler"),
    start!("python", Cron, "cron", "main.py", "README.md", "handler"),
    start!("python", Worker, "worker", "main.py", "README.md", "handler"),
    start!("python", Plain, "plain", "main.py", "README.md", "add"),
    Start {
        packages: Some(("requirements.txt", "fastapi\n")),
        ..start!("python", Asgi, "asgi", "main.py", "README.md", "app")
    },
    start!("node", Http, "http", "index.mjs", "README.node.md", "handler"),
    start!("node", Webhook, "webhook", "index.mjs", "README.md", "handler"),
    start!("node", Cron, "cron", "index.mjs", "README.md", "handler"),
    start!("node", Worker, "worker", "index.mjs", "README.md", "handler"),
];

// === impl Start ===

impl Start {
    /// The file of the code.
    pub(super) fn file(&self) -> &'static str {
        if self.language == "node" { "index.mjs" } else { "main.py" }
    }

    /// What git should not keep.
    pub(super) fn ignores(&self) -> &'static str {
        if self.language == "node" {
            // Packages are part of what is deployed, so only git leaves them out.
            "node_modules/\n.env\n.env.*\n.faas/dev/\n.faas/test/\n"
        } else {
            "__pycache__/\n*.pyc\n.venv/\n.env\n.env.*\n.faas/dev/\n.faas/test/\n"
        }
    }
}
