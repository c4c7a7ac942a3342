//! `/ws`: a WebSocket that says the version, and then what it is told.
//!
//! By hand, in place of axum's feature `ws`: that would make the product's axum another one in a build of all crates,
//! and so everything on top of it would be built twice.

use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use axum::http::{HeaderName, StatusCode};
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::site::{Site, told};

/// The server's half of the handshake: RFC 6455, section 4.2.2.
pub async fn upgrade(
    State(site): State<Site>,
    mut request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 3]), StatusCode> {
    let connection = request.extensions_mut().remove::<OnUpgrade>().ok_or(StatusCode::UPGRADE_REQUIRED)?;
    let key = request.headers().get(SEC_WEBSOCKET_KEY).ok_or(StatusCode::BAD_REQUEST)?;
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        if let Ok(connection) = connection.await {
            echo(site, connection).await;
        }
    });
    let headers = [
        (CONNECTION, "upgrade".to_owned()),
        (UPGRADE, "websocket".to_owned()),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers))
}

/// Says its version first, then what it is told, until the drain time is over.
async fn echo(mut site: Site, connection: Upgraded) {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, None).await;
    let drain = site.settings.drain;
    let drained = async {
        told(site.stopping.clone()).await;
        sleep(drain).await;
    };
    tokio::pin!(drained);
    if socket.send(Message::Text(std::mem::take(&mut site.settings.version).into())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            () = &mut drained => break,
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
    // The other side may be gone already.
    let _ = socket.send(Message::Close(None)).await;
}
