//! Programs of this machine that work on files of strangers: git, interpreters that parse. They run under limits.
//!
//! A shell sets the limits, before the program is there to be confused. Where a lower one holds already, that stays.

use std::ffi::OsStr;
use std::process::Command;

/// What shells end with where a program is not there.
pub(crate) const NOT_FOUND: i32 = 127;

/// A program under limits: memory and processor time of each process, the size of a file, no core dumps.
pub(crate) fn limited(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(LIMITS).arg(program);
    command
}

/// 1 GB of memory (in KB), 5 minutes, and 2 GB of a file, in the blocks of 512 bytes that POSIX counts in.
const LIMITS: &str =
    "{ ulimit -c 0; ulimit -d 1048576; ulimit -t 300; ulimit -f 4194304; } 2>/dev/null; exec \"$0\" \"$@\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_its_arguments_and_the_limits() {
        let output = limited("sh").args(["-c", "ulimit -d; ulimit -t; ulimit -c; echo \"$1\"", "x", "a b"]).output();
        let output = output.expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1048576\n300\n0\na b\n");
        let missing = limited("no-such-program-here").output().expect("a shell");
        assert_eq!(missing.status.code(), Some(NOT_FOUND));
    }
}
