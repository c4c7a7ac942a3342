//! What is asked of a service in an environment with nothing more to say.

use std::process::ExitCode;

use serde_json::json;

use crate::client::{Connection, Scope};
use crate::terminal::{Output, print_outcome};

/// Of which service, where, and how the answer is printed.
#[derive(Debug, clap::Args)]
pub struct Ask {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Ask {
    /// Asks for it and prints what came of it. Repeatable.
    ///
    /// # Errors
    /// It is refused, or the API does not answer.
    pub async fn act(self, verb: &str) -> anyhow::Result<ExitCode> {
        let client = self.connection.client()?;
        let outcome = client.act(verb, &self.scope, &json!({})).await?;
        print_outcome(&outcome, self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
