//! System and user tags: create, query, delete.

use actix_web::{HttpResponse, web};

use super::{
    body::{Body, Params},
    call::{Call, Work},
    error::{Fault, Refusal},
    query::Queried,
    reply::StoredReply,
};
use crate::{
    domain::{
        account::Caller,
        query::{Page, Query},
        tag::{Resource, TAG_BYTES_MAX, TagKind},
        text::shown,
    },
    jobs::{JobError, Kept},
    wire::zstack::{Empty, Inventory, Schema, SystemTagInventory, UserTagInventory, tag_inventory},
};

/// Longest name of a type, and of a uuid.
const NAME_CHARS_MAX: usize = 255;

/// CreateSystemTag.
pub(super) async fn create_system(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    create(call, body, TagKind::System).await
}

/// CreateUserTag.
pub(super) async fn create_user(call: Call, body: Body) -> Result<HttpResponse, Fault> {
    create(call, body, TagKind::User).await
}

async fn create(call: Call, body: Body, kind: TagKind) -> Result<HttpResponse, Fault> {
    let params = body.params(match kind {
        TagKind::System => "org.zstack.header.tag.APICreateSystemTagMsg",
        TagKind::User => "org.zstack.header.tag.APICreateUserTagMsg",
    })?;
    call.accept(Kept::Durably, move |work| created(work, params, kind)).await
}

async fn created(work: Work, mut params: Params, kind: TagKind) -> Result<StoredReply, Refusal> {
    let resource_type = params.needed("resourceType", NAME_CHARS_MAX)?;
    let uuid = params.needed("resourceUuid", NAME_CHARS_MAX)?;
    let tag = params.needed("tag", TAG_BYTES_MAX)?;
    if !Resource::TYPES.contains(&resource_type.as_str()) {
        return Err(Refusal::invalid(format!(
            "invalid resourceType[{}]: tags are given to [{}]",
            shown(&resource_type),
            Resource::TYPES.join(", ")
        )));
    }
    let resource = Resource::read(&resource_type, &uuid).ok_or_else(|| {
        Refusal::new(
            crate::wire::zstack::Code::NotFound,
            format!(
                "invalid field[resourceUuid], resource[uuid:{}, type:{resource_type}] not found",
                shown(&uuid)
            ),
        )
    })?;
    let tag = work.app.jobs.create_tag(work.caller, resource, kind, tag).await?;
    let inventory = tag_inventory(&tag, work.zone());
    match kind {
        TagKind::System => {
            let inventory = SystemTagInventory(inventory);
            let schema = Schema::one("inventory", &inventory);
            work.done(Inventory { inventory }, schema)
        }
        TagKind::User => {
            let inventory = UserTagInventory(inventory);
            let schema = Schema::one("inventory", &inventory);
            work.done(Inventory { inventory }, schema)
        }
    }
}

/// DeleteTag, of either kind.
pub(super) async fn delete(call: Call, uuid: web::Path<String>) -> Result<HttpResponse, Fault> {
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| async move {
        let uuid = uuid.parse().map_err(|_| JobError::TagNotFound { uuid: shown(&uuid) })?;
        work.app.jobs.delete_tag(work.caller, uuid).await?;
        work.done(Empty {}, Schema::default())
    })
    .await
}

impl Queried for SystemTagInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.jobs.query_tags(caller, TagKind::System, query).await;
        let page = page.map_err(Self::refusal)?;
        let rows = page.rows.iter().map(|tag| Self(tag_inventory(tag, call.zone())));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}

impl Queried for UserTagInventory {
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let page = call.app.jobs.query_tags(caller, TagKind::User, query).await;
        let page = page.map_err(Self::refusal)?;
        let rows = page.rows.iter().map(|tag| Self(tag_inventory(tag, call.zone())));
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}
