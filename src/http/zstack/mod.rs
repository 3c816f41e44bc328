//! ZStack's control plane under `/zstack/v1` (zstack.md 1 to 3): thin handlers over the verbs of `jobs` and `accounts`.

mod accounts;
mod body;
mod call;
mod error;
#[cfg(test)]
mod error_table;
mod images;
mod longjobs;
mod query;
mod render;
mod reply;
mod storage;
mod tasks;

use actix_web::{
    HttpRequest, HttpResponse, Resource, Route,
    http::{
        StatusCode,
        header::{ALLOW, ContentType},
    },
    middleware::from_fn,
    web::{self, delete, get, post, put},
};

use super::cors::allow_origins;

/// Mounts the control plane. Handlers find [`super::App`] as `web::Data`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/zstack/v1")
            .wrap(from_fn(allow_origins))
            .service(at("/accounts/login", "PUT", [put().to(accounts::log_in)]))
            .service(at("/accounts/users/login", "PUT", [put().to(accounts::log_in_by_user)]))
            .service(at("/accounts/{uuid}/actions", "PUT", [put().to(accounts::update)]))
            .service(at("/accounts/{uuid}", "PUT", [put().to(accounts::update)]))
            .service(at("/accounts/sessions/{token}", "DELETE", [delete().to(accounts::log_out)]))
            .service(at("/accounts/sessions/{token}/valid", "GET", [get().to(accounts::validate)]))
            .service(at("/accounts/sessions/{token}/renew", "PUT", [put().to(accounts::renew)]))
            .service(at("/api-jobs/{id}", "GET", [get().to(tasks::api_job)]))
            .service(at("/task-progresses/{id}", "GET", [get().to(tasks::progress)]))
            .service(at(
                "/longjobs",
                "GET, POST",
                [get().to(longjobs::query_all), post().to(longjobs::submit)],
            ))
            .service(at(
                "/longjobs/{uuid}",
                "GET, DELETE",
                [get().to(longjobs::query_one), delete().to(longjobs::delete)],
            ))
            .service(at("/longjobs/{uuid}/actions", "PUT", [put().to(longjobs::act)]))
            .service(at(
                "/images",
                "GET, POST",
                [get().to(images::query_all), post().to(images::add)],
            ))
            .service(at(
                "/images/upload-job/details/{image_id}",
                "GET, PUT",
                [get().to(images::details), put().to(images::details)],
            ))
            .service(at(
                "/images/{uuid}",
                "GET, DELETE",
                [get().to(images::query_one), delete().to(images::delete)],
            ))
            .service(at("/backup-storage", "GET", [get().to(storage::query_all)]))
            .service(at("/backup-storage/{uuid}", "GET", [get().to(storage::query_one)]))
            .default_service(web::to(unknown_path)),
    );
}

/// A path with the methods that it takes; every other method is told which those are.
fn at<const N: usize>(path: &str, methods: &'static str, routes: [Route; N]) -> Resource {
    let resource = web::resource([path.to_owned(), format!("{path}/")]);
    routes.into_iter().fold(resource, Resource::route).default_service(web::to(
        move |request: HttpRequest| async move {
            let words = format!(
                "the method {} is not supported by {}, which takes {methods}",
                request.method(),
                zstack_path(&request)
            );
            HttpResponse::MethodNotAllowed()
                .insert_header((ALLOW, methods))
                .content_type(ContentType::plaintext())
                .body(words)
        },
    ))
}

async fn unknown_path(request: HttpRequest) -> HttpResponse {
    HttpResponse::build(StatusCode::NOT_FOUND)
        .content_type(ContentType::plaintext())
        .body(format!("no api mapping to {}", zstack_path(&request)))
}

/// The path as ZStack's own texts have it: without the context path.
fn zstack_path(request: &HttpRequest) -> &str {
    let path = request.path();
    path.strip_prefix("/zstack").unwrap_or(path)
}
