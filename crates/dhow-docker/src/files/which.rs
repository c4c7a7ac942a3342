//! Which Compose or stack files a folder has, in the order in which they are given to the tool.

use dhow_core::fleet::Deployment;

use super::path;

/// What `docker compose` looks for by itself, the first that is there.
const STANDARD: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// What it merges over that.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
/// The folder's own settings: they are never sent.
const SETTINGS: [&str; 4] = ["dhow.yaml", "dhow.yml", "sami.yaml", "sami.yml"];

/// The Compose files of a deployment, by their paths in the fleet. Where `files:` names some, these, in its order;
/// else the standard file with its override, then every `*-compose.y(a)ml` by name.
pub(crate) fn compose_files(deployment: &Deployment) -> Vec<String> {
    let named = named_files(deployment);
    if !named.is_empty() {
        return named;
    }
    let there = |name: &&str| deployment.files.contains(&path::join(&deployment.folder, name));
    let mut files: Vec<String> = Vec::new();
    if let Some(standard) = STANDARD.iter().find(|name| there(name)) {
        files.push(path::join(&deployment.folder, standard));
        files.extend(OVERRIDES.iter().find(|n| there(n)).map(|n| path::join(&deployment.folder, n)));
    }
    let mut more: Vec<String> = deployment
        .files
        .iter()
        .filter(|file| path::parent(file) == deployment.folder && is_named_compose(path::name(file)))
        .cloned()
        .collect();
    more.sort();
    files.extend(more);
    files
}

/// The stack files of a deployment, by their paths in the fleet. Where `files:` names some, these, in its order; else
/// every `*-stack.y(a)ml` by name; else its Compose files.
pub(crate) fn stack_files(deployment: &Deployment) -> Vec<String> {
    let named = named_files(deployment);
    if !named.is_empty() {
        return named;
    }
    let mut stacks: Vec<String> = deployment
        .files
        .iter()
        .filter(|file| path::parent(file) == deployment.folder && stem(file).ends_with("-stack"))
        .cloned()
        .collect();
    stacks.sort();
    if stacks.is_empty() { compose_files(deployment) } else { stacks }
}

/// The YAML files that `files:` names.
fn named_files(deployment: &Deployment) -> Vec<String> {
    let named = deployment.settings.named_files.iter();
    named.filter(|file| is_yaml(file) && !SETTINGS.contains(&path::name(file))).cloned().collect()
}

/// A file of a folder's settings.
pub(crate) fn is_settings(file: &str, folder: &str) -> bool {
    path::parent(file) == folder && SETTINGS.contains(&path::name(file))
}

fn is_yaml(file: &str) -> bool {
    file.ends_with(".yaml") || file.ends_with(".yml")
}

/// The name of a YAML file without its ending; empty where it is none.
fn stem(file: &str) -> &str {
    let name = path::name(file);
    name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or_default()
}

fn is_named_compose(name: &str) -> bool {
    let stem = stem(name);
    stem.ends_with("-compose") && stem != "docker-compose"
}

#[cfg(test)]
mod tests {
    use dhow_core::fleet::DeploymentSettings;

    use super::*;

    fn deployment(files: &[&str], named: &[&str]) -> Deployment {
        Deployment {
            sites: Vec::new(),
            id: "shop/compose/stage".parse().unwrap(),
            folder: "s".into(),
            spelled_environment: "stage".into(),
            files: files.iter().map(|f| format!("s/{f}")).collect(),
            dependencies: Vec::new(),
            settings: DeploymentSettings {
                named_files: named.iter().map(|f| format!("s/{f}")).collect(),
                ..DeploymentSettings::default()
            },
        }
    }

    #[test]
    fn files_come_in_the_order_of_compose() {
        let all =
            ["b-compose.yaml", "a-compose.yml", "docker-compose.yml", "compose.yaml", "sami.yaml", ".env"];
        let found = compose_files(&deployment(&all, &[]));
        assert_eq!(found, ["s/compose.yaml", "s/a-compose.yml", "s/b-compose.yaml"]);
        let found = compose_files(&deployment(&["docker-compose.yml", "docker-compose.override.yml"], &[]));
        assert_eq!(found, ["s/docker-compose.yml", "s/docker-compose.override.yml"]);
    }

    #[test]
    fn named_files_are_all_there_is() {
        let found = compose_files(&deployment(&["compose.yaml", "b.yml", "a.yml"], &["b.yml", "a.yml"]));
        assert_eq!(found, ["s/b.yml", "s/a.yml"]);
    }

    #[test]
    fn stacks_come_before_compose_files() {
        let found = stack_files(&deployment(&["b-stack.yml", "a-stack.yaml", "compose.yaml", "x.yml"], &[]));
        assert_eq!(found, ["s/a-stack.yaml", "s/b-stack.yml"]);
        let found = stack_files(&deployment(&["docker-compose.yml", "x.yml"], &[]));
        assert_eq!(found, ["s/docker-compose.yml"]);
    }
}
