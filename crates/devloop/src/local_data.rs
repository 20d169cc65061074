//! Where a project's own servers keep their state, and whose it is.
//!
//! It lies in the project's directory, which may be a stranger's: an archive or a clone could bring a directory of state,
//! with keys and functions of another person. So each gets a mark, and the user's own state directory remembers the marks.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_config::SourceDir;
use faas_terminal::failure::Failure;
use rustix::rand::{GetRandomFlags, getrandom};

/// What a project's own servers keep, below its directory.
const STATE: &str = ".faas";
/// The file that says which user made the directory beside it.
const MARK: &str = "mark";
const MARK_BYTES: usize = 16;

/// Where a project's own server keeps its state.
pub fn place(project: &Path, name: &str) -> PathBuf {
    let base = if project.is_dir() { project } else { project.parent().unwrap_or(project) };
    base.join(STATE).join(name).join("data")
}

/// Makes the directory, private, and where it is a project's own invisible to git. One that came with the project's files
/// is refused.
pub fn prepare(data: &Path) -> anyhow::Result<()> {
    let attempt = || {
        refuse_links(data)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
        let is_own = |dir: &&Path| dir.parent().is_some_and(|above| above.ends_with(STATE));
        let Some(own) = data.parent().filter(is_own) else { return Ok(None) };
        let own = SourceDir::open(own)?;
        if !own.has(".gitignore") {
            own.write(".gitignore", b"*\n")?;
        }
        Ok::<_, io::Error>(Some(own))
    };
    let own =
        attempt().with_context(|| format!("cannot make {}; name another directory with --data", data.display()))?;
    match (own, of_user("XDG_STATE_HOME", ".local/state", "faas/data")) {
        (Some(own), Some(marks)) => check_mark(&own, data, &marks),
        // Named by hand, or a user without a home, where nothing could be remembered.
        _ => Ok(()),
    }
}

/// A directory of the user's below one that an environment variable names; `None` where it is not the user's alone, such as
/// another user's home under `sudo`.
pub fn of_user(variable: &str, below_home: &str, name: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    let is_own = |path: &Path| {
        let user = rustix::process::geteuid().as_raw();
        fs::metadata(path).is_ok_and(|meta| meta.uid() == user && meta.mode() & 0o022 == 0)
    };
    let dir = base.join(name);
    // Without a home directory there is no state directory.
    let nearest = base.ancestors().take(3).find(|path| path.exists());
    let made = nearest.is_some_and(is_own) && fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).is_ok();
    (made && is_own(&dir)).then_some(dir)
}

fn check_mark(own: &SourceDir, data: &Path, marks: &Path) -> anyhow::Result<()> {
    let mark = if own.has(MARK) { own.text(MARK, 2 * MARK_BYTES as u64).unwrap_or_default() } else { String::new() };
    let is_mark = mark.len() == 2 * MARK_BYTES && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_mark && marks.join(&mark).is_file() {
        return Ok(());
    }
    if fs::read_dir(data)?.next().is_some() {
        let message =
            format!("{} was not made by a server of yours here; it may have come with the files", data.display());
        let hint = "remove it and begin anew; to use it all the same, move it elsewhere and name it with --data\n\
                    where the home directory is new each time, as in a container, set XDG_STATE_HOME to a directory that stays";
        return Err(Failure { exit: 1, ..Failure::usage(message).with_hint(hint) }.into());
    }
    let mark = new_mark().context("there is no randomness")?;
    // Remembered first: a mark that is not remembered would refuse the directory from now on.
    fs::write(marks.join(&mark), data.as_os_str().as_encoded_bytes())
        .and_then(|()| own.write(MARK, mark.as_bytes()))
        .with_context(|| format!("cannot mark {} as yours", data.display()))
}

fn new_mark() -> io::Result<String> {
    let mut bytes = [0; MARK_BYTES];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A project's own state lies in the project's directory, which may be a stranger's.
fn refuse_links(data: &Path) -> io::Result<()> {
    let Some(state) = data.ancestors().find(|dir| dir.ends_with(STATE)) else { return Ok(()) };
    let below = data.ancestors().take_while(|dir| dir.starts_with(state));
    for dir in below {
        if fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_symlink()) {
            return Err(io::Error::other(format!("{} is a symbolic link, and links are not followed", dir.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_that_came_with_the_files_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let marks = home.path().join("marks");
        fs::create_dir(&marks).expect("made");
        let own = |project: &str| {
            let own = home.path().join(project).join(".faas/dev");
            fs::create_dir_all(own.join("data")).expect("made");
            own
        };
        let check = |own: &Path| {
            check_mark(&SourceDir::open(own).expect("open"), &own.join("data"), &marks)
                .map_err(|error| Failure::from_error(&error))
        };
        let mine = own("mine");
        check(&mine).expect("an empty one becomes ours");
        fs::write(mine.join("data/faas.db"), "x").expect("written");
        check(&mine).expect("and stays so");
        let moved = home.path().join("moved");
        fs::rename(home.path().join("mine"), &moved).expect("moved");
        check(&moved.join(".faas/dev")).expect("also elsewhere");

        let strange = own("strange");
        fs::write(strange.join("data/faas.db"), "x").expect("written");
        for mark in ["", "0123456789abcdef0123456789abcdef", "../../../../../../../../etc/hostname"] {
            fs::write(strange.join(MARK), mark).expect("written");
            let failure = check(&strange).expect_err("it came with the files");
            assert!(failure.message.contains("may have come with the files") && failure.hint.is_some(), "{failure:?}");
        }
    }
}
