//! What the files of a folder say of its type.

use crate::noun::TargetType;

/// What a file is to a deployment, by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A Compose file.
    Compose,
    /// A stack of Docker Swarm.
    Stack,
    /// A kustomization.
    Kustomization,
    /// Another YAML file.
    Yaml,
    /// A crontab.
    Crontab,
    /// Our own settings, or `sami.yaml`.
    Settings,
    /// Anything else.
    Other,
}

/// What a file of a deployment's folder is.
pub(crate) fn file_kind(name: &str) -> FileKind {
    match name {
        "dhow.yaml" | "sami.yaml" | "sami.yml" => return FileKind::Settings,
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => return FileKind::Kustomization,
        "crontab" => return FileKind::Crontab,
        _ => {}
    }
    let Some(stem) = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")) else {
        return match name.ends_with(".crontab") {
            true => FileKind::Crontab,
            false => FileKind::Other,
        };
    };
    let compose = matches!(stem, "compose" | "docker-compose")
        || stem.ends_with("-compose")
        || stem.starts_with("compose.")
        || stem.starts_with("docker-compose.");
    match () {
        () if stem.ends_with("-stack") => FileKind::Stack,
        () if compose => FileKind::Compose,
        () => FileKind::Yaml,
    }
}

/// The types that the files of a folder show, by their names alone: two where it has stacks and Compose files.
/// `folder` is the type that the folder's name or the layout says.
pub(crate) fn detect(names: &[&str], folder: Option<TargetType>) -> Vec<TargetType> {
    let has = |kind| names.iter().any(|name| file_kind(name) == kind);
    match (has(FileKind::Stack), has(FileKind::Compose)) {
        (true, true) => return vec![TargetType::Compose, TargetType::Swarm],
        (true, false) => return vec![TargetType::Swarm],
        _ => {}
    }
    if let Some(folder) = folder {
        return vec![folder];
    }
    let shown = [
        (FileKind::Compose, TargetType::Compose),
        (FileKind::Kustomization, TargetType::K8s),
        (FileKind::Crontab, TargetType::Cron),
    ];
    if let Some((_, target)) = shown.into_iter().find(|(kind, _)| has(*kind)) {
        return vec![target];
    }
    if names.contains(&"index.html") {
        return vec![TargetType::StaticFile];
    }
    Vec::new()
}

/// Whether a file of a folder with these types belongs to the deployment of this type.
pub(crate) fn belongs(name: &str, target: TargetType, types: &[TargetType]) -> bool {
    match file_kind(name) {
        _ if types.len() < 2 => true,
        FileKind::Stack => target == TargetType::Swarm,
        FileKind::Compose => target == TargetType::Compose,
        _ => true,
    }
}

/// Whether files with these names give a deployment of this type something to run.
pub(crate) fn runs(names: &[&str], target: TargetType) -> bool {
    let has = |kinds: &[FileKind]| names.iter().any(|name| kinds.contains(&file_kind(name)));
    match target {
        TargetType::Compose => has(&[FileKind::Compose]),
        TargetType::Swarm => has(&[FileKind::Stack, FileKind::Compose]),
        TargetType::K8s => has(&[FileKind::Kustomization, FileKind::Yaml]),
        TargetType::Cron => has(&[FileKind::Crontab]),
        TargetType::StaticFile => names.iter().any(|name| file_kind(name) != FileKind::Settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_swarm_whatever_the_folder_is_called() {
        let swarm = detect(&["prometheus-stack.yml"], Some(TargetType::Compose));
        assert_eq!(swarm, [TargetType::Swarm]);
        let both = detect(&["a-stack.yaml", "a-compose.yml"], Some(TargetType::Compose));
        assert_eq!(both, [TargetType::Compose, TargetType::Swarm]);
        assert_eq!(detect(&[], Some(TargetType::K8s)), [TargetType::K8s]);
        assert_eq!(detect(&["kustomization.yml"], None), [TargetType::K8s]);
        assert_eq!(detect(&["README.md"], None), []);
    }
}
