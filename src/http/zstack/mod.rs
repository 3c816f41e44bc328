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
mod schedule;
mod storage;
mod tags;
mod tasks;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
};

use super::routes::{Table, at, delete, get, post, put};
use crate::wire::zstack::{
    BackupStorageInventory as Storage, ImageInventory as Image, LongJobInventory as LongJob,
    SchedulerJobGroupInventory as JobGroup, SchedulerJobHistoryInventory as Run,
    SchedulerJobInventory as ScheduledJob, SchedulerTriggerInventory as Trigger,
    SystemTagInventory as SystemTag, UserTagInventory as UserTag,
};

/// The control plane. Handlers find [`super::App`] as `web::Data`.
pub(super) fn routes() -> Table {
    let table = Table::below("/zstack/v1", refuse_method, unknown_path);
    scheduler(resources(table))
}

fn resources(table: Table) -> Table {
    table
        .service(at("/accounts/login", [put().open().to(accounts::log_in)]))
        .service(at("/accounts/users/login", [put().open().to(accounts::log_in_by_user)]))
        .service(at("/accounts/{uuid}", [put().to(accounts::update)]))
        .service(at("/accounts/{uuid}/actions", [put().to(accounts::update)]))
        .service(at("/accounts/sessions/{token}", [delete().open().to(accounts::log_out)]))
        .service(at("/accounts/sessions/{token}/valid", [get().open().to(accounts::validate)]))
        .service(at("/accounts/sessions/{token}/renew", [put().to(accounts::renew)]))
        .service(at("/api-jobs/{id}", [get().open().to(tasks::api_job)]))
        .service(at("/task-progresses/{id}", [get().to(tasks::progress)]))
        .service(at("/longjobs", [get().to(query::all::<LongJob>), post().to(longjobs::submit)]))
        .service(at(
            "/longjobs/{uuid}",
            [get().to(query::one::<LongJob>), delete().to(longjobs::delete)],
        ))
        .service(at("/longjobs/{uuid}/actions", [put().to(longjobs::act)]))
        .service(at("/images", [get().to(query::all::<Image>), post().to(images::add)]))
        .service(at(
            "/images/upload-job/details/{image_id}",
            [get().to(images::details), put().to(images::details)],
        ))
        .service(at("/images/{uuid}", [get().to(query::one::<Image>), delete().to(images::delete)]))
        .service(at("/images/{uuid}/actions", [put().to(images::act)]))
        .service(at(
            "/system-tags",
            [get().to(query::all::<SystemTag>), post().to(tags::create_system)],
        ))
        .service(at("/system-tags/{uuid}", [get().to(query::one::<SystemTag>)]))
        .service(at("/user-tags", [get().to(query::all::<UserTag>), post().to(tags::create_user)]))
        .service(at("/user-tags/{uuid}", [get().to(query::one::<UserTag>)]))
        .service(at("/tags/{uuid}", [delete().to(tags::delete)]))
        .service(at("/backup-storage", [get().to(query::all::<Storage>)]))
        .service(at("/backup-storage/{uuid}", [get().to(query::one::<Storage>)]))
}

fn scheduler(table: Table) -> Table {
    let (job, trigger, group) =
        ("/scheduler/jobs/{uuid}", "/scheduler/triggers/{uuid}", "/scheduler/jobgroups/{uuid}");
    table
        .service(at("/scheduler/job/history", [get().to(query::all::<Run>)]))
        .service(at("/scheduler/report", [get().to(schedule::report)]))
        // Before the one that takes any uuid.
        .service(at("/scheduler/jobs/candidates", [get().to(schedule::candidates)]))
        .service(at(
            "/scheduler/jobs",
            [get().to(query::all::<ScheduledJob>), post().to(schedule::create_job)],
        ))
        .service(at(job, [get().to(query::one::<ScheduledJob>), delete().to(schedule::delete_job)]))
        .service(at(&format!("{job}/actions"), [put().to(schedule::act_on_job)]))
        .service(at(
            &format!("{job}/scheduler/triggers/{{trigger}}"),
            [post().to(schedule::bind_job), delete().to(schedule::unbind_job)],
        ))
        .service(at(
            "/scheduler/triggers",
            [get().to(query::all::<Trigger>), post().to(schedule::create_trigger)],
        ))
        .service(at(
            trigger,
            [get().to(query::one::<Trigger>), delete().to(schedule::delete_trigger)],
        ))
        .service(at(&format!("{trigger}/actions"), [put().to(schedule::act_on_trigger)]))
        .service(at(
            "/scheduler/jobgroups",
            [get().to(query::all::<JobGroup>), post().to(schedule::create_group)],
        ))
        .service(at(group, [get().to(query::one::<JobGroup>), delete().to(schedule::delete_group)]))
        .service(at(&format!("{group}/actions"), [put().to(schedule::act_on_group)]))
        .service(at(
            &format!("{group}/job"),
            [post().to(schedule::join), delete().to(schedule::leave)],
        ))
        .service(at(
            &format!("{group}/scheduler/triggers/{{trigger}}"),
            [post().to(schedule::bind_group), delete().to(schedule::unbind_group)],
        ))
        .service(at("/schedulers/{uuid}", [put().to(schedule::change_state)]))
}

fn refuse_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    let (method, path) = (request.method(), zstack_path(request));
    let words = format!("the method {method} is not supported by {path}, which takes {allow}");
    plain_text(StatusCode::METHOD_NOT_ALLOWED, words)
}

fn unknown_path(request: &HttpRequest) -> HttpResponse {
    plain_text(StatusCode::NOT_FOUND, format!("no api mapping to {}", zstack_path(request)))
}

fn plain_text(status: StatusCode, words: String) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::plaintext()).body(words)
}

/// The path as ZStack's own texts have it: without the context path.
fn zstack_path(request: &HttpRequest) -> &str {
    let path = request.path();
    path.strip_prefix("/zstack").unwrap_or(path)
}
