//! What the user should know of the files before they are deployed.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::yaml::{self, Node};

use crate::files::content::Content;

/// What Swarm ignores in a service, and what does the same there.
const IGNORED: [(&str, &str); 6] = [
    ("build", "push the image, and name it with `image:`"),
    ("container_name", "Swarm names containers itself"),
    ("depends_on", "Swarm starts services in any order; let them wait for each other"),
    ("restart", "write `deploy.restart_policy`"),
    ("network_mode", "write the external network `host` under `networks`"),
    ("links", "services of a network find each other by name"),
];

/// Everything that is to be told.
pub(super) fn all(
    files: &[String],
    inputs: &BTreeMap<String, String>,
    mounted: &BTreeSet<String>,
    content: &BTreeMap<String, Content>,
) -> Vec<String> {
    let mut notes = Vec::new();
    for file in files {
        let parsed = yaml::parse(file, inputs.get(file).map(String::as_bytes).unwrap_or_default());
        for document in &parsed.documents {
            for (name, service) in document.get("services").map(Node::entries).unwrap_or_default() {
                of_service(&name.text, service, &mut notes);
            }
        }
    }
    notes.extend(mounted.iter().filter(|path| !content.contains_key(*path)).map(|path| {
        format!(
            "{path} is not in the fleet: it is a folder of data at the manager that every release shares and nothing \
             removes"
        )
    }));
    notes
}

fn of_service(name: &str, service: &Node, notes: &mut Vec<String>) {
    for (key, advice) in IGNORED {
        if service.get(key).is_some() {
            notes.push(format!("{name}: Swarm ignores `{key}`: {advice}"));
        }
    }
    let relative = service.get("volumes").map(Node::items).unwrap_or_default().iter().any(|volume| {
        let source = volume.as_str().or_else(|| volume.get("source").and_then(Node::as_str));
        source.is_some_and(|source| source.starts_with('.'))
    });
    let deploy = service.get("deploy");
    let placed = deploy.and_then(|deploy| deploy.get("placement")?.get("constraints")).is_some();
    if relative && !placed {
        notes.push(format!(
            "{name} mounts a folder of the manager: where the swarm has more nodes, use `configs`, or bind it to this \
             node with `deploy.placement.constraints`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_swarm_ignores_is_told_with_what_to_write_instead() {
        let text = "services:\n  web:\n    image: x\n    restart: always\n    volumes: [./conf:/c]\n";
        let inputs = BTreeMap::from([("s/a-stack.yml".to_owned(), text.to_owned())]);
        let notes = all(&["s/a-stack.yml".into()], &inputs, &["s/conf".into()].into(), &BTreeMap::new());
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("deploy.restart_policy") && notes[1].contains("configs"), "{notes:?}");
        assert!(notes[2].contains("s/conf is not in the fleet"), "{notes:?}");
    }
}
