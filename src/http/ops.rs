//! For people and machines that run the service: alive, ready, metrics.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;

use super::{
    App, refuse_method,
    routes::{Access, Table, at, get, head},
};
use crate::telemetry::CONTENT_TYPE;

/// The operational routes.
pub(super) fn routes() -> Table {
    let local = Access::Loopback;
    Table::flat(refuse_method)
        .service(at("/healthz", [get().open().to(healthz), head().open().to(healthz)]))
        .service(at("/readyz", [get().open().to(readyz), head().open().to(readyz)]))
        .service(at("/metrics", [get().by(local).to(metrics), head().by(local).to(metrics)]))
}

/// `GET /healthz`: the process answers. Nothing else is asked, so that a slow disk does not get it killed.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<ReadyCheck>,
    /// What somebody has to look at although uploads can be taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ReadyCheck {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `GET /readyz`: 200 if uploads can be taken, else 503, with a reason for each thing that is amiss.
async fn readyz(app: web::Data<App>) -> HttpResponse {
    let checks: Vec<_> = app
        .uploads
        .checks()
        .await
        .into_iter()
        .map(|check| ReadyCheck {
            name: check.name,
            ok: check.problem.is_none(),
            reason: check.problem,
        })
        .collect();
    let ready = checks.iter().all(|check| check.ok);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(Readiness {
        ready,
        checks,
        warnings: warnings(&app),
    })
}

/// One row that cannot be read is no reason to send everybody elsewhere.
fn warnings(app: &App) -> Vec<String> {
    let unreadable = app.jobs.unreadable();
    let named = unreadable.first.into_iter();
    let mut words: Vec<_> = named
        .map(|row| format!("{row}: it is left as it is with its bytes; mend the row"))
        .collect();
    let more = unreadable.rows.saturating_sub(words.len() as u64);
    if more > 0 {
        words.push(format!("{more} more rows of unfinished uploads cannot be read"));
    }
    words
}

/// `GET /metrics`: to callers on this machine, or to all if `http.metrics_public` is set. A trusted proxy is asked whom it calls for.
async fn metrics(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    // Behind a proxy on this machine every request comes from this machine: whom it asks for counts.
    let local = is_loopback(app.settings.trusted_proxies.client(&request));
    if !local && !app.settings.metrics_public {
        return HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body(
            "metrics are answered on this machine only; set http.metrics_public to change that\n",
        );
    }
    if let Err(error) = app.measure().await {
        // What is counted in memory is shown all the same: metrics matter most when something is wrong.
        tracing::warn!(%error, "jobs could not be counted for the metrics");
    }
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(app.metrics.render())
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.to_canonical().is_loopback(),
    }
}
