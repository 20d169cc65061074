//! Environment markers ([PEP 508](https://peps.python.org/pep-0508/)), decided as far as the function's runtime is known.

use super::condition::{Condition, TooComplex};
use super::names::canonical;
use super::version::{Specifier, Version};

/// Bytes of a marker.
const MARKER_MAX: usize = 8 << 10;
/// Parentheses inside each other.
const DEPTH_MAX: usize = 32;
/// Bytes of a text that is compared with.
const TEXT_MAX: usize = 200;

/// What is known of the place where packages are installed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Environment {
    /// The release of Python, without its patch.
    pub(super) python: (u64, u64),
    /// The machine, as `platform.machine()` names it.
    pub(super) machine: &'static str,
}

/// What of a package, or of the whole lock, is wanted besides its ordinary packages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The extra that is being followed.
    pub(super) extra: Option<&'a str>,
    /// Groups of the whole lock.
    pub(super) groups: &'a [String],
}

/// A marker.
#[derive(Clone, Debug)]
pub(super) enum Marker {
    And(Vec<Marker>),
    Or(Vec<Marker>),
    Comparison(Comparison),
}

/// A variable beside a text.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    variable: &'static str,
    sign: Sign,
    text: String,
    /// Whether the text stands before the variable.
    turned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Order(&'static str),
    In,
    NotIn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Sign(Sign),
    Variable(&'static str),
    Text(String),
}

struct Parser {
    /// In reverse.
    tokens: Vec<Token>,
}

/// Names as they are written, and what they mean.
const VARIABLES: [(&str, &str); 20] = [
    ("python_version", "python_version"),
    ("python_full_version", "python_full_version"),
    ("implementation_version", "implementation_version"),
    ("os_name", "os_name"),
    ("os.name", "os_name"),
    ("sys_platform", "sys_platform"),
    ("sys.platform", "sys_platform"),
    ("platform_machine", "platform_machine"),
    ("platform.machine", "platform_machine"),
    ("platform_python_implementation", "platform_python_implementation"),
    ("platform.python_implementation", "platform_python_implementation"),
    ("python_implementation", "platform_python_implementation"),
    ("platform_release", "platform_release"),
    ("platform_system", "platform_system"),
    ("platform_version", "platform_version"),
    ("platform.version", "platform_version"),
    ("implementation_name", "implementation_name"),
    ("extra", "extra"),
    ("extras", "extras"),
    ("dependency_groups", "dependency_groups"),
];
const ORDERS: [&str; 8] = ["===", "==", "!=", "<=", ">=", "~=", "<", ">"];

// === impl Marker ===

impl Marker {
    /// `None` for a text that is not a marker, or is too long or too deep.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MARKER_MAX {
            return None;
        }
        let mut tokens = tokens(text)?;
        tokens.reverse();
        let mut parser = Parser { tokens };
        let marker = parser.any(0)?;
        parser.tokens.is_empty().then_some(marker)
    }

    pub(super) fn decide(&self, environment: &Environment, wanted: Wanted<'_>) -> Result<Condition, TooComplex> {
        match self {
            Self::And(parts) => {
                parts.iter().try_fold(Condition::always(), |all, part| all.and(&part.decide(environment, wanted)?))
            }
            Self::Or(parts) => {
                parts.iter().try_fold(Condition::never(), |any, part| any.or(&part.decide(environment, wanted)?))
            }
            Self::Comparison(comparison) => Ok(match comparison.decide(environment, wanted) {
                Some(true) => Condition::always(),
                Some(false) => Condition::never(),
                None => Condition::part(comparison.to_string()),
            }),
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// `None` when it depends on something unknown.
    fn decide(&self, environment: &Environment, wanted: Wanted<'_>) -> Option<bool> {
        let (major, minor) = environment.python;
        match self.variable {
            "python_version" => self
                .versions(|asked| Some(asked.admits(&Version::of(&[major, minor]))), Some(&format!("{major}.{minor}"))),
            "python_full_version" | "implementation_version" => {
                self.versions(|asked| asked.admits_patches_of(environment.python), None)
            }
            "os_name" => self.texts("posix"),
            "sys_platform" => self.texts("linux"),
            "platform_system" => self.texts("Linux"),
            "platform_machine" => self.texts(environment.machine),
            "platform_python_implementation" => self.texts("CPython"),
            "implementation_name" => self.texts("cpython"),
            "extra" => {
                let is_wanted = wanted.extra.is_some_and(|extra| canonical(extra) == canonical(&self.text));
                match self.sign {
                    Sign::Order("==") => Some(is_wanted),
                    Sign::Order("!=") => Some(!is_wanted),
                    _ => None,
                }
            }
            "extras" | "dependency_groups" => {
                let groups = if self.variable == "extras" { &[] } else { wanted.groups };
                let is_wanted = groups.iter().any(|group| canonical(group) == canonical(&self.text));
                match self.sign {
                    Sign::In => Some(is_wanted),
                    Sign::NotIn => Some(!is_wanted),
                    Sign::Order(_) => None,
                }
            }
            _ => None,
        }
    }

    fn versions(&self, admitted: impl Fn(&Specifier) -> Option<bool>, known: Option<&str>) -> Option<bool> {
        let Sign::Order(order) = self.sign else { return known.and_then(|known| self.texts(known)) };
        let order = match (self.turned, order) {
            (true, "<") => ">",
            (true, "<=") => ">=",
            (true, ">") => "<",
            (true, ">=") => "<=",
            (true, "~=") => return None,
            (_, order) => order,
        };
        admitted(&Specifier::parse(&format!("{order}{}", self.text))?)
    }

    fn texts(&self, known: &str) -> Option<bool> {
        let is_within = if self.turned { known.contains(&self.text) } else { self.text.contains(known) };
        match self.sign {
            Sign::Order("==" | "===") => Some(known == self.text),
            Sign::Order("!=") => Some(known != self.text),
            Sign::In => Some(is_within),
            Sign::NotIn => Some(!is_within),
            Sign::Order(_) => None,
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { variable, text, .. } = self;
        let sign = match self.sign {
            Sign::Order(order) => order,
            Sign::In => "in",
            Sign::NotIn => "not in",
        };
        if self.turned { write!(f, "\"{text}\" {sign} {variable}") } else { write!(f, "{variable} {sign} \"{text}\"") }
    }
}

// === impl Parser ===

impl Parser {
    fn any(&mut self, depth: usize) -> Option<Marker> {
        let mut parts = vec![self.all(depth)?];
        while self.tokens.pop_if(|token| *token == Token::Or).is_some() {
            parts.push(self.all(depth)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Marker::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Option<Marker> {
        let mut parts = vec![self.one(depth)?];
        while self.tokens.pop_if(|token| *token == Token::And).is_some() {
            parts.push(self.one(depth)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Marker::And(parts) })
    }

    fn one(&mut self, depth: usize) -> Option<Marker> {
        if depth > DEPTH_MAX {
            return None;
        }
        let first = self.tokens.pop()?;
        if first == Token::Open {
            let inner = self.any(depth + 1)?;
            return (self.tokens.pop()? == Token::Close).then_some(inner);
        }
        let (Token::Sign(sign), second) = (self.tokens.pop()?, self.tokens.pop()?) else { return None };
        let (variable, text, turned) = match (first, second) {
            (Token::Variable(variable), Token::Text(text)) => (variable, text, false),
            (Token::Text(text), Token::Variable(variable)) => (variable, text, true),
            _ => return None,
        };
        Some(Marker::Comparison(Comparison { variable, sign, text, turned }))
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '\'' | '"' => {
                let inner = rest[1..].split(first).next().filter(|inner| inner.len() + 1 < rest.len())?;
                (Token::Text(checked(inner)?), inner.len() + 2)
            }
            '=' | '!' | '<' | '>' | '~' => {
                let order = ORDERS.into_iter().find(|order| rest.starts_with(order))?;
                (Token::Sign(Sign::Order(order)), order.len())
            }
            _ => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
                let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
                match word {
                    "and" => (Token::And, 3),
                    "or" => (Token::Or, 2),
                    "in" => (Token::Sign(Sign::In), 2),
                    "not" => {
                        let after = rest[3..].trim_start();
                        after.strip_prefix("in").filter(|after| !after.starts_with(is_part))?;
                        (Token::Sign(Sign::NotIn), rest.len() - after.len() + 2)
                    }
                    word => {
                        let (_, variable) = VARIABLES.into_iter().find(|(name, _)| *name == word)?;
                        (Token::Variable(variable), word.len())
                    }
                }
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// A text that means the same inside quotes wherever a requirement is written.
fn checked(text: &str) -> Option<String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || " ._+!*-,/()<>=~|".contains(c);
    (text.len() <= TEXT_MAX && text.chars().all(is_fit)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Environment = Environment { python: (3, 12), machine: "x86_64" };

    fn decided(marker: &str) -> String {
        let condition = Marker::parse(marker).expect(marker).decide(&HERE, Wanted::default()).expect("simple");
        match (condition.is_always(), condition.is_never()) {
            (true, _) => "always".to_owned(),
            (_, true) => "never".to_owned(),
            _ => condition.to_string(),
        }
    }

    #[test]
    fn what_the_runtime_tells_is_decided() {
        for marker in [
            "sys_platform == 'linux'",
            "sys_platform != 'win32' and os_name == \"posix\"",
            "python_version >= '3.9'",
            "'3.10' <= python_version",
            "python_version in '3.11 3.12'",
            "python_full_version >= '3.11'",
            "python_full_version < '3.13' and (platform_machine == 'x86_64' or platform_machine == 'arm64')",
            "'linux' in sys_platform",
            "platform_python_implementation != 'PyPy'",
            "implementation_name=='cpython'",
            "extra != 'dev'",
            "os.name == 'posix'",
            "platform_machine not in 'arm64 ppc64le'",
            "python_version == '3.*'",
        ] {
            assert_eq!(decided(marker), "always", "{marker}");
        }
        for marker in [
            "sys_platform == 'win32'",
            "python_version < '3.12'",
            "python_version > '3.12'",
            "python_full_version < '3.11' or python_full_version >= '3.13'",
            "extra == 'dev'",
            "platform_machine == 'aarch64'",
            "'dev' in dependency_groups",
            "python_version == '3.1'",
        ] {
            assert_eq!(decided(marker), "never", "{marker}");
        }
    }

    #[test]
    fn what_it_does_not_tell_is_left_to_the_installer() {
        assert_eq!(decided("python_full_version <= '3.12.3'"), "python_full_version <= \"3.12.3\"");
        assert_eq!(decided("sys_platform == 'linux' and '5' <= platform_release"), "\"5\" <= platform_release");
        assert_eq!(
            decided("python_full_version < '3.12.1' or platform_version == 'x' and extra != 'y'"),
            "platform_version == \"x\" or python_full_version < \"3.12.1\""
        );
    }

    #[test]
    fn extras_and_groups_are_those_that_are_wanted() {
        let groups = ["Build_Tools".to_owned()];
        let wanted = Wanted { extra: Some("Standard"), groups: &groups };
        for (marker, holds) in [
            ("extra == 'standard'", true),
            ("extra != 'standard'", false),
            ("'build-tools' in dependency_groups", true),
            ("'x' not in extras", true),
        ] {
            let condition = Marker::parse(marker).expect(marker).decide(&HERE, wanted).expect("simple");
            assert_eq!(condition.is_always(), holds, "{marker}");
        }
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let deep = format!("{}os_name == 'x'{}", "(".repeat(40), ")".repeat(40));
        let long = format!("os_name == 'x'{}", " or os_name == 'x'".repeat(600));
        for bad in [
            "",
            "os_name",
            "os_name ==",
            "'a' == 'b'",
            "os_name == sys_platform",
            "os_name == 'a",
            "(os_name == 'a'",
            "os_name == 'a' os_name == 'b'",
            "nothing == 'a'",
            "os_name == 'a' and",
            "os_name not == 'a'",
            "os_name == '$HOME'",
            "os_name == 'a\n-e .'",
            "os_name == 'ä'",
            "os_name = 'a'",
            &deep,
            &long,
        ] {
            assert!(Marker::parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            let _ = Marker::parse(&text);
        }

        #[test]
        fn what_is_left_reads_as_it_was(marker in "(python_full_version|platform_release) (<|>=|==|!=) '3\\.12\\.[0-9]'( (and|or) (os_name|platform_version) (==|!=) '(posix|nt)'){0,3}") {
            let condition = Marker::parse(&marker).expect("a marker").decide(&HERE, Wanted::default()).expect("simple");
            if !condition.is_always() && !condition.is_never() {
                let again = Marker::parse(&condition.to_string()).expect("a marker").decide(&HERE, Wanted::default());
                prop_assert_eq!(again.expect("simple"), condition);
            }
        }
    }
}
