//! Path patterns of `layout:`: `apps/{service}/overlays/{environment}`.

use thiserror::Error;

use crate::noun::{EnvironmentName, ServiceName, TargetType};

/// Where deployments are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) segments: Vec<Segment>,
    pub(crate) service: Option<ServiceName>,
    pub(crate) target: Option<TargetType>,
    pub(crate) environment: Option<EnvironmentName>,
}

/// One name of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Slot { before: String, slot: Slot, after: String },
}

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Service,
    Type,
    Environment,
}

/// What the placeholders of a pattern stand for in one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) service: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) environment: Option<String>,
}

/// A pattern that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct InvalidPattern(String);

impl Pattern {
    /// The layout that needs no file.
    pub(crate) fn standard() -> Self {
        let slot = |slot| Segment::Slot { before: String::new(), slot, after: String::new() };
        Self {
            segments: vec![
                Segment::Literal("services".into()),
                slot(Slot::Service),
                slot(Slot::Type),
                slot(Slot::Environment),
            ],
            service: None,
            target: None,
            environment: None,
        }
    }

    /// Reads a pattern.
    pub(crate) fn read(text: &str) -> Result<Self, InvalidPattern> {
        let fail = |what: String| Err(InvalidPattern(what));
        if text.starts_with('/') || text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return fail(format!("{text:?} must be a path within the fleet, without '.' and '..'"));
        }
        let mut segments = Vec::new();
        let mut slots = Vec::new();
        for part in text.split('/') {
            let segment = segment(part)?;
            if let Segment::Slot { slot, .. } = &segment {
                if slots.contains(slot) {
                    return fail(format!("{text:?} has the same placeholder twice"));
                }
                slots.push(*slot);
            }
            segments.push(segment);
        }
        Ok(Self { segments, service: None, target: None, environment: None })
    }

    /// Whether the pattern has this placeholder.
    pub(crate) fn has(&self, wanted: Slot) -> bool {
        self.segments.iter().any(|s| matches!(s, Segment::Slot { slot, .. } if *slot == wanted))
    }

    /// What the placeholders stand for in the first names of a path, as far as they fit; `None` where they fit no
    /// placeholder. A folder is a service's from there on, whatever lies in it.
    pub(crate) fn bind(&self, path: &str) -> Option<Binding> {
        let mut binding = Binding::default();
        for (segment, name) in self.segments.iter().zip(path.split('/')) {
            if segment.bind(name, &mut binding).is_none() {
                break;
            }
        }
        (binding != Binding::default()).then_some(binding)
    }
}

impl Segment {
    /// Whether a name fits, and what its placeholder stands for then.
    pub(crate) fn bind(&self, name: &str, binding: &mut Binding) -> Option<()> {
        match self {
            Self::Literal(text) => (text == name).then_some(()),
            Self::Slot { before, slot, after } => {
                let value = name.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                if value.is_empty() || name.starts_with('.') {
                    return None;
                }
                let place = match slot {
                    Slot::Service => &mut binding.service,
                    Slot::Type => &mut binding.target,
                    Slot::Environment => &mut binding.environment,
                };
                *place = Some(value.to_owned());
                Some(())
            }
        }
    }
}

fn segment(part: &str) -> Result<Segment, InvalidPattern> {
    let Some((before, rest)) = part.split_once('{') else {
        return match part.contains('}') {
            true => Err(InvalidPattern(format!("{part:?} has a '}}' without '{{'"))),
            false => Ok(Segment::Literal(part.to_owned())),
        };
    };
    let (slot, after) =
        rest.split_once('}').ok_or_else(|| InvalidPattern(format!("{part:?} has a '{{' without '}}'")))?;
    let slot = match slot {
        "service" => Slot::Service,
        "type" => Slot::Type,
        "environment" => Slot::Environment,
        other => {
            return Err(InvalidPattern(format!(
                "{{{other}}} is no placeholder; there are {{service}}, {{type}} and {{environment}}"
            )));
        }
    };
    if before.contains('}') || after.contains(['{', '}']) {
        return Err(InvalidPattern(format!(
            "{part:?} has more than one placeholder; one may stand in a name"
        )));
    }
    Ok(Segment::Slot { before: before.into(), slot, after: after.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_binds_the_names_of_a_path() {
        let pattern = Pattern::read("apps/{service}/overlays/env-{environment}").unwrap();
        let binding = pattern.bind("apps/shop/overlays/env-qa/deploy.yaml").unwrap();
        assert_eq!((binding.service.unwrap(), binding.environment.unwrap()), ("shop".into(), "qa".into()));
        assert_eq!(pattern.bind("apps/shop/base/x").unwrap().service.unwrap(), "shop");
        assert_eq!(pattern.bind("apps/.shop/x"), None);
        assert_eq!(pattern.bind("other/shop/overlays/env-qa"), None);
    }

    #[test]
    fn patterns_that_leave_the_fleet_or_have_unknown_placeholders_are_refused() {
        for bad in [
            "../{service}",
            "/a",
            "a//b",
            "{svc}",
            "{service",
            "service}",
            "{service}/{service}",
            "{service}{type}",
        ] {
            assert!(Pattern::read(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
