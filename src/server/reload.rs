//! `/-/reload`: reads the configuration again.

use http::{Method, Response, StatusCode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::ServerContext;
use super::body::Body;
use super::response::{not_allowed, stopping, text, too_many};

/// A request for a reload: where its result goes. A good one tells what was refused.
pub type ReloadRequest = oneshot::Sender<Result<String, String>>;

pub(super) async fn reload(context: &ServerContext, method: &Method) -> Response<Body> {
    if !matches!(*method, Method::POST | Method::PUT) {
        return not_allowed("POST, PUT");
    }
    if !context.settings.enable_lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.\n");
    }
    let (reply, result) = oneshot::channel();
    if let Err(TrySendError::Full(_)) = context.reloads.try_send(reply) {
        return too_many("Too many reloads at once, try again later.\n");
    }
    match result.await {
        Ok(Ok(refused)) => text(StatusCode::OK, refused),
        Ok(Err(problems)) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config:\n{problems}\n"))
        }
        _ => stopping(),
    }
}
