//! `dhow token`: who may ask dhow for what.

use std::process::ExitCode;

use clap::Subcommand;
use dhow_core::noun::PersonName;
use dhow_web::shape::{TokenCreated, TokenList, TokenRequest};
use dhow_web::{Role, TokenName};

use crate::client::Connection;
use crate::terminal::{Output, print, print_json, print_outcome, table};

/// Make, list and remove access tokens
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token and print it, once
    Add(Add),
    /// List the tokens, without their secrets
    List(List),
    /// Remove a token: it is refused at once
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    connection: Connection,
    /// Name of the token
    name: TokenName,
    /// What it may do: reader, deployer, approver or admin
    #[arg(long)]
    role: Role,
    /// Whose it is, as the fleet's `people:` names them; without it, a person of the token's name
    #[arg(long)]
    person: Option<PersonName>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    connection: Connection,
    /// Name of the token
    name: TokenName,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Adds, lists or removes. A crash in `add` may leave a token that nobody knows: remove it by its name.
///
/// # Errors
/// It is refused, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add(args) => add(args).await?,
        Command::List(args) => list(args).await?,
        Command::Remove(args) => {
            let query = [("name", args.name.to_string())];
            let outcome = args.connection.client()?.delete(&["tokens"], &query).await?;
            print_outcome(&outcome, args.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(args: Add) -> anyhow::Result<()> {
    let body = TokenRequest { name: args.name, role: args.role, person: args.person };
    let created: TokenCreated = args.connection.client()?.post(&["tokens"], &body).await?;
    if args.output == Output::Json {
        return print_json(&created);
    }
    let TokenCreated { name, role, person, token } = created;
    eprintln!("token {name} of {person}, with the role {role}; it is shown this once:");
    print(&format!("{token}\n"))
}

async fn list(args: List) -> anyhow::Result<()> {
    let list: TokenList = args.connection.client()?.get(&["tokens"], &[]).await?;
    if args.output == Output::Json {
        return print_json(&list);
    }
    let mut rows = table(&["NAME", "ROLE", "PERSON", "CREATED"]);
    for token in list.tokens {
        rows.add_row([
            token.name.to_string(),
            token.role.to_string(),
            token.person.to_string(),
            token.created,
        ]);
    }
    print(&format!("{rows}\n"))
}
