//! What a helper program of the server, such as git, may do.
//!
//! A helper works on what strangers send. It is started through this program itself, which confines the process and then
//! becomes the helper: [`HelperRules::words`] is the command line for that, and [`HelperRules::parse`] reads it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The hidden first argument that turns this program into a helper.
pub const HELPER: &str = "__helper";

const READ: &str = "--read";
const WRITE: &str = "--write";
const CONNECT: &str = "--connect";
const END: &str = "--";

/// What one helper may reach. The programs and libraries of the system may be read and run by every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperRules {
    /// Further files and directories that it may read and run.
    pub read: Vec<PathBuf>,
    /// Directories in which it may read and write.
    pub write: Vec<PathBuf>,
    /// The only TCP port that it may connect to.
    pub connect: Option<u16>,
}

// === impl HelperRules ===

impl HelperRules {
    /// The arguments of this program up to those that are the helper's own.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let mut words = vec![HELPER.into()];
        let mut option = |name: &str, value: &OsStr| words.extend([name.into(), value.to_owned()]);
        self.read.iter().for_each(|path| option(READ, path.as_os_str()));
        self.write.iter().for_each(|path| option(WRITE, path.as_os_str()));
        self.connect.iter().for_each(|port| option(CONNECT, port.to_string().as_ref()));
        words.push(END.into());
        words
    }

    /// Reads the arguments after [`HELPER`]: the rules, and the helper with its own arguments.
    #[must_use]
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Option<(Self, Vec<OsString>)> {
        let mut words = words.into_iter();
        let mut rules = Self::default();
        loop {
            let word = words.next()?;
            match word.to_str()? {
                READ => rules.read.push(words.next()?.into()),
                WRITE => rules.write.push(words.next()?.into()),
                CONNECT => rules.connect = Some(words.next()?.to_str()?.parse().ok()?),
                END => return Some((rules, words.collect())),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_back() {
        let rules = HelperRules { read: vec!["/a".into()], write: vec!["--".into(), "/c".into()], connect: Some(8080) };
        let command = ["git", "--", "--write"].map(OsString::from);
        let words = rules.words().into_iter().skip(1).chain(command.clone());
        assert_eq!(HelperRules::parse(words), Some((rules, command.to_vec())));
        for bad in [&["--write"][..], &["--connect", "x", "--"], &["git"], &[]] {
            assert_eq!(HelperRules::parse(bad.iter().map(OsString::from)), None, "{bad:?}");
        }
    }
}
