//! Rows in a file: enough of a database to see whether one is lost.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;

use crate::site::Site;

/// How many rows there are.
pub async fn count(State(site): State<Site>) -> Result<String, StatusCode> {
    let rows = fs::read_to_string(file(&site)?).unwrap_or_default();
    Ok(format!("{}\n", rows.lines().count()))
}

/// Adds the body as a row; when it has answered, the row is on the disk.
pub async fn append(State(site): State<Site>, row: String) -> Result<StatusCode, StatusCode> {
    let file = file(&site)?;
    let written = File::options().create(true).append(true).open(file).and_then(|mut file| {
        writeln!(file, "{}", row.replace('\n', " "))?;
        file.sync_all()
    });
    written.map(|()| StatusCode::CREATED).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn file(site: &Site) -> Result<PathBuf, StatusCode> {
    site.settings.data.as_ref().map(|dir| dir.join("rows")).ok_or(StatusCode::NOT_FOUND)
}
