//! Images are looked for before anything is changed: are they there, and can a node run them?

use dhow_core::port::TargetError;

use super::api::NodeFacts;
use super::api::refused;
use super::deploy::{credentials, of_images};
use crate::compose::site::Site;
use crate::engine::login::Logins;

/// Asks the registries for every image, through the engine of the manager. Changes nothing.
///
/// # Errors
/// `Failed`: the registry does not have it, or no node can run it. `Blocked`: the registry does not let us in.
pub(super) async fn look(site: &Site, logins: &dyn Logins, images: &[String]) -> Result<(), TargetError> {
    let api = site.api().await?;
    let logins = of_images(logins, images.iter()).await?;
    let nodes = api.nodes().await?;
    for image in images {
        let built_for = match api.built_for(image, credentials(&logins, image)).await {
            Ok(built_for) => built_for,
            // An image that was built on the node, or is there since the registry had it.
            Err(error) => match api.image(image).await?.or(api.image(&by_digest(image)).await?) {
                Some(found) => vec![found.architecture],
                None => return Err(missing(image, &error)),
            },
        };
        fits(image, &built_for, &nodes)?;
    }
    Ok(())
}

/// Without the tag: engines know images by one or the other.
fn by_digest(image: &str) -> String {
    let Ok(reference) = image.parse::<dhow_core::noun::ImageReference>() else { return image.to_owned() };
    match reference.digest {
        Some(digest) => format!("{}@{digest}", reference.repository),
        None => image.to_owned(),
    }
}

fn fits(image: &str, built_for: &[String], nodes: &[NodeFacts]) -> Result<(), TargetError> {
    let known: Vec<&NodeFacts> =
        nodes.iter().filter(|node| node.ready && !node.architecture.is_empty()).collect();
    let told: Vec<&String> = built_for.iter().filter(|one| !one.is_empty()).collect();
    if told.is_empty() || known.is_empty() || known.iter().any(|node| told.contains(&&node.architecture)) {
        return Ok(());
    }
    let list = |names: Vec<&String>| {
        let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let ours = list(known.iter().map(|node| &node.architecture).collect());
    Err(TargetError::Failed(format!(
        "{image} is built for {}, and the nodes of this swarm are {ours}; build it for {ours} too",
        list(told)
    )))
}

fn missing(image: &str, error: &bollard::errors::Error) -> TargetError {
    let said = error.to_string();
    let lower = said.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if has(&["manifest unknown", "not found", "name unknown", "no such image", "manifest invalid"]) {
        return TargetError::Failed(format!("the registry does not have this image: {image}: {said}"));
    }
    if has(&["unauthorized", "authentication required", "no basic auth", "denied"]) {
        return TargetError::Blocked(format!(
            "the registry of {image} does not let us in, the login is missing or has expired: {said}; renew the \
             credentials of this registry in dhow's configuration"
        ));
    }
    match refused(error) {
        TargetError::Passing(_) => {
            TargetError::Passing(format!("the registry of {image} could not be asked: {said}"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(architecture: &str, ready: bool) -> NodeFacts {
        NodeFacts {
            id: "n".into(),
            name: "n".into(),
            ready,
            architecture: architecture.into(),
            ..NodeFacts::default()
        }
    }

    #[test]
    fn an_image_fits_where_one_ready_node_can_run_it() {
        let nodes = [node("amd64", true), node("arm64", false)];
        assert!(fits("x", &["amd64".into(), "arm64".into()], &nodes).is_ok());
        assert!(fits("x", &[], &nodes).is_ok());
        let error = fits("x", &["arm64".into()], &nodes).unwrap_err();
        assert!(
            matches!(error, TargetError::Failed(told) if told.contains("built for arm64") && told.contains("amd64"))
        );
    }

    #[test]
    fn a_registry_that_shuts_us_out_is_not_one_that_has_no_image() {
        let said = |message: &str| bollard::errors::Error::DockerResponseServerError {
            status_code: 500,
            message: message.into(),
        };
        assert!(matches!(missing("x", &said("manifest unknown")), TargetError::Failed(_)));
        assert!(matches!(
            missing("x", &said("unauthorized: authentication required")),
            TargetError::Blocked(_)
        ));
        assert!(matches!(missing("x", &said("dial tcp: connection refused")), TargetError::Passing(_)));
    }
}
