//! Promises that a process breaks on purpose.

use std::str::FromStr;

use anyhow::bail;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Steps and pushes begin without their started event.
    Unstarted,
    /// A push whose end is not known is repeated, without looking whether it arrived.
    BlindPush,
    /// The fleet's cursor moves on before what changed was compared.
    EarlyCursor,
}

impl FromStr for Broken {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "unstarted" => Self::Unstarted,
            "blind-push" => Self::BlindPush,
            "early-cursor" => Self::EarlyCursor,
            _ => bail!("DHOW_BREAK={text:?} is unknown; there are unstarted, blind-push and early-cursor"),
        })
    }
}
