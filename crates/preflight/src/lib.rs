//! Checks an upload before anything of it runs: secrets in its files, and files, text and imports that the operator or the
//! project blocks.
//!
//! Pure over a file listing and the bytes of files, so the command line gives the same answer as the server.
//!
//! - [`Preflight`]: the checks of one upload. [`Finding`]: one result; [`refusal`] turns results into the error of a deployment.
//! - [`Policies`]: the rules of the operator and of the project, each a compiled [`Policy`].
//! - [`AllowedSecret`]: an exception that a manifest or a project declares.
//! - [`find_secrets`], [`looks_secret`]: the secret scanner.

mod allowance;
mod finding;
mod imports;
mod location;
mod policy;
mod preflight;
mod rule_owner;
mod secret_value;
mod secrets;

pub use allowance::{AllowedSecret, InvalidAllowance};
pub use finding::{Finding, Severity, refusal};
pub use policy::{InvalidPolicy, Policies, Policy};
pub use preflight::{Preflight, SEARCHED_BYTES_MAX, SEARCHED_FILE_MAX};
pub use rule_owner::RuleOwner;
pub use secret_value::looks_secret;
pub use secrets::{ALLOW_MARK, SecretMatch, find as find_secrets};
