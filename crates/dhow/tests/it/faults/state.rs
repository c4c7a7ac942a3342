//! A database that is damaged, or a newer Dhow's: refused with a way out, and never mended in silence.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{HOST, fleet, once_each, page, shop};
use crate::support::process::run;
use crate::support::visitors::Visitors;

#[tokio::test]
async fn a_database_cut_short_is_refused_with_the_way_out_and_a_copy_brings_everything_back() {
    let fleet = fleet().await;
    let serve = shop(&fleet).await;
    let file = serve.state().join("dhow.db");
    serve.terminate().await;
    let whole = std::fs::read(&file).unwrap();
    let cut = &whole[..whole.len() / 2];
    std::fs::write(&file, cut).unwrap();
    let said = run(fleet.serve().command()).await;
    said.refused(&[&file.display().to_string(), "damaged", "Restore a copy", "nothing was changed"]);
    assert_eq!(std::fs::read(&file).unwrap(), cut, "it was mended in silence");

    std::fs::write(&file, &whole).unwrap();
    let serve = fleet.serve().start().await;
    Visitors::of_site(&serve, HOST).saw_only(&[&page("one")]).await;
    serve.reaches("shop", "stage", "1.0.0").await;
    once_each(&fleet, &serve, &["1.0.0"]).await;
}

#[tokio::test]
async fn a_database_of_a_newer_dhow_is_refused_with_both_versions_and_the_way_out() {
    let fleet = fleet().await;
    let serve = shop(&fleet).await;
    let file = serve.state().join("dhow.db");
    serve.terminate().await;
    let change = async |sql: &'static str| {
        let mut database = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    };
    change("UPDATE _sqlx_migrations SET version = version + 900").await;
    let said = run(fleet.serve().command()).await;
    said.refused(&["written by a newer dhow", "version 90", "Run that newer dhow again"]);
    change("UPDATE _sqlx_migrations SET version = version - 900").await;
    let serve = fleet.serve().start().await;
    Visitors::of_site(&serve, HOST).saw_only(&[&page("one")]).await;
    serve.reaches("shop", "stage", "1.0.0").await;
}
