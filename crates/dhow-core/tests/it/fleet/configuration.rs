//! The reference of the configuration says what the code does.

use dhow_core::fleet::{keys, load};

use super::{COMPOSE, tree};

const REFERENCE: &str = include_str!("../../../../../docs/configuration.md");

/// A Compose file that runs every artifact of the examples.
const RUNS_ALL: &str = "services:\n  a: { image: ghcr.io/acme/shop-api }\n  b: { image: ghcr.io/acme/shop-web }\n  c: { image: ghcr.io/acme/shop-docs }\n  d: { image: ghcr.io/acme/shop-jobs }\n";

/// The blocks of the reference that begin with a line `# <file>`, with that file.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for block in REFERENCE.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let file = text.lines().next().unwrap().strip_prefix("# ").expect("a block names its file");
        examples.push((file.to_owned(), text.to_owned()));
    }
    examples
}

#[test]
fn every_example_loads_without_a_finding() {
    let examples = examples();
    assert!(examples.len() >= 5, "{}", examples.len());
    for (file, text) in &examples {
        let mut files = vec![
            ("services/proxy/dhow.yaml", ""),
            ("services/shop/compose/stage/compose.yaml", COMPOSE),
            ("services/shop/compose/qa/compose.yaml", RUNS_ALL),
            ("services/shop/static_file/stage/index.html", ""),
            ("services/shop/static_file/qa/dhow.yaml", "bundle: ghcr.io/acme/shop-web\n"),
            ("services/shop/swarm/production/shop-stack.yml", COMPOSE),
            (
                "dhow.yaml",
                "servers: {web1: {ssh: deploy@web1.acme.dev}}\nenvironments: {stage: {}, production: {from: stage}}\n",
            ),
        ];
        files.retain(|(path, _)| path != file);
        files.push((file, text));
        let fleet = load(&tree(&files));
        assert_eq!(fleet.diagnostics, [], "{file}");
    }
}

#[test]
fn every_key_is_named() {
    for (section, keys) in keys::ALL {
        for key in *keys {
            assert!(
                REFERENCE.contains(&format!("`{key}`")),
                "{section}: {key} is not in docs/configuration.md"
            );
        }
    }
}
