//! `layers`: the named layers that a function stands on.

use faas_types::{LayerRef, limits};

use super::node::Node;
use super::reader::Reader;

/// Names such as "shared-utils:3", or without a number for the newest; those that win first.
pub(super) fn layers(reader: &mut Reader, node: &Node) -> Option<Vec<LayerRef>> {
    let items = reader.list("layers", node)?;
    let mut layers = Vec::<LayerRef>::with_capacity(items.len().min(limits::LAYERS_MAX));
    for item in items {
        let Some(text) = reader.text("layers", item) else { continue };
        let Some(layer) = reader.keep("layers", item, text.parse::<LayerRef>()) else { continue };
        if layers.iter().any(|other| other.name == layer.name) {
            let message = format!("`layers` names {} twice; a function has one version of a layer", layer.name);
            reader.problem("layers", item.at, message);
        } else if layers.len() == limits::LAYERS_MAX {
            let message = format!("`layers` has {} names at the most", limits::LAYERS_MAX);
            reader.problem("layers", item.at, message);
            break;
        } else {
            layers.push(layer);
        }
    }
    Some(layers)
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;

    fn read(text: &str) -> Result<Manifest, String> {
        Manifest::from_toml("faas.toml", &format!("name = \"a\"\n{text}")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn names_keep_their_order_and_come_back_from_json() {
        let manifest = read("layers = [\"models:1\", \"shared-utils\"]").expect("good");
        let names: Vec<String> = manifest.settings.layers.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["models:1", "shared-utils"]);
        let again = Manifest::from_json(manifest.to_json()).map_err(|errors| errors.to_string());
        assert_eq!(again.map(|again| again.settings), Ok(manifest.settings));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let many: Vec<String> = (0..9).map(|n| format!("\"a{n}\"")).collect();
        for (text, word) in [
            ("layers = \"a:1\"".to_owned(), "list"),
            ("layers = [1]".to_owned(), "text"),
            ("layers = [\"a:0\"]".to_owned(), "faas.toml:2:11: `layers`: the version of layer `a`"),
            ("layers = [\"a\", \"Ab:1\"]".to_owned(), "faas.toml:2:16: `layers`: `Ab` is not a valid layer name"),
            ("layers = [\"a:1\", \"a:2\"]".to_owned(), "names a twice"),
            (format!("layers = [{}]", many.join(", ")), "8 names at the most"),
        ] {
            let message = read(&text).expect_err(&text);
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
