//! What targets keep in rendered deployments, observations and steps: JSON of their own types.

use dhow_core::port::TargetError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// # Errors
/// Another version of this program wrote it.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(
    value: &Value,
    what: &str,
    advice: &str,
) -> Result<T, TargetError> {
    T::deserialize(value).map_err(|error| {
        TargetError::Blocked(format!(
            "the stored data of {what} cannot be read, another version of dhow wrote it ({error}); {advice}"
        ))
    })
}

/// These types hold text, numbers and lists only, which always have a JSON form.
pub(crate) fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
