//! Who sends a request, and what its key lets it do.

use faas_types::{Author, Fault, FunctionId, FunctionName, FunctionRef, KeyId, ProjectId, Reason, Scope};

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The project that the key belongs to.
    pub project: ProjectId,
    /// The key.
    pub key: KeyId,
    /// What people call the key.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The functions that it is restricted to; empty for a key of all.
    pub functions: Vec<FunctionRef>,
}

// === impl Caller ===

impl Caller {
    /// Whether the caller may do what `wanted` covers.
    #[must_use]
    pub fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.grants(wanted))
    }

    /// Whether the key is restricted to some functions.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Whether the key is for the function of this id and name.
    #[must_use]
    pub fn may_use(&self, id: FunctionId, name: &FunctionName) -> bool {
        self.functions.is_empty() || self.functions.iter().any(|one| one.means(id, name))
    }

    /// Refuses the function of this id and name where the key is for others.
    ///
    /// # Errors
    /// `FN_009`.
    pub fn check_function(&self, id: FunctionId, name: &FunctionName) -> Result<(), Fault> {
        if self.may_use(id, name) { Ok(()) } else { Err(self.not_among(name.as_str())) }
    }

    /// Refuses a function that does not exist, or not yet, where the key does not name it.
    ///
    /// # Errors
    /// `FN_009`.
    pub fn check_reference(&self, text: &str) -> Result<(), Fault> {
        let is_named = || text.parse().is_ok_and(|one: FunctionRef| self.functions.contains(&one));
        if self.functions.is_empty() || is_named() { Ok(()) } else { Err(self.not_among(text)) }
    }

    /// The refusal of a route that is of the whole project.
    #[must_use]
    pub fn not_of_functions(&self) -> Fault {
        self.refusal("and this is of the whole project")
    }

    fn not_among(&self, text: &str) -> Fault {
        let shown: String = text.chars().take(80).collect();
        self.refusal(&format!("and `{shown}` is not among them"))
    }

    fn refusal(&self, why: &str) -> Fault {
        let functions: Vec<String> = self.functions.iter().map(ToString::to_string).collect();
        let message = format!("the key is restricted to the functions {}, {why}", functions.join(", "));
        Fault::new(Reason::FunctionNotAllowed, message).with_command_hint(format!(
            "use another key, or change this one: faas keys update {} --function NAME",
            self.key
        ))
    }

    /// The caller as the author of a version.
    #[must_use]
    pub fn author(&self) -> Author {
        Author { key: self.key, name: self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use faas_types::Timestamp;

    use super::*;

    fn caller(functions: Vec<FunctionRef>) -> Caller {
        let now = Timestamp::from_millis(1);
        let (project, key) = (ProjectId::mint(now, 1), KeyId::mint(now, 1));
        Caller { project, key, name: "ci".to_owned(), scopes: vec![Scope::Deploy], functions }
    }

    #[test]
    fn a_restriction_holds_by_name_and_by_id() {
        let (id, other) =
            (FunctionId::mint(Timestamp::from_millis(1), 1), FunctionId::mint(Timestamp::from_millis(1), 2));
        let name = |text: &str| text.parse::<FunctionName>().expect("a name");
        let both = caller(vec![FunctionRef::Id(id), FunctionRef::Name(name("mail"))]);
        assert!(both.may_use(id, &name("renamed")) && both.may_use(other, &name("mail")));
        assert!(!both.may_use(other, &name("other")));
        both.check_reference("mail").expect("it is named");
        both.check_reference(&id.to_string()).expect("it is named");
        for refused in ["other", &other.to_string(), "not a name", ""] {
            let fault = both.check_reference(refused).expect_err("it is not");
            assert_eq!(fault.reason, Reason::FunctionNotAllowed);
            assert!(fault.message.contains("mail"), "{fault}");
        }
        let free = caller(Vec::new());
        assert!(free.may_use(other, &name("other")) && free.check_reference("anything").is_ok());
    }
}
