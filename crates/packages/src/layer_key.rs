//! The id of a layer of packages.

use faas_types::LayerId;

use crate::plan::InstallRequest;

/// The id of the layer that a request leads to, on a builder of this identity. It does not depend on the name of the file that
/// asks for the packages.
#[must_use]
pub fn layer_id(identity: &str, request: &InstallRequest) -> LayerId {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add("faas-layer 1");
    add(identity);
    add(&request.root);
    for (path, text) in &request.files {
        add(path);
        add(text);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    LayerId::from_u128(u128::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(source: &str, files: &[(&str, &str)]) -> InstallRequest {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        InstallRequest { source: source.into(), root: "requirements.txt".into(), files }
    }

    #[test]
    fn what_is_installed_makes_the_id_and_nothing_else() {
        let one = request("requirements.txt", &[("requirements.txt", "a==1\n")]);
        let id = layer_id("python3.12 pip", &one);
        assert_eq!(layer_id("python3.12 pip", &request("pyproject.toml", &[("requirements.txt", "a==1\n")])), id);
        let others = [
            layer_id("python3.13 pip", &one),
            layer_id("python3.12 pip", &request("requirements.txt", &[("requirements.txt", "a==2\n")])),
            layer_id("python3.12 pip", &request("requirements.txt", &[("requirements.txt", "a==1\n"), ("b", "")])),
        ];
        assert!(others.iter().all(|other| *other != id));
        assert!(id.to_string().starts_with("lay_"));
    }
}
